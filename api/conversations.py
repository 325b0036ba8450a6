"""Conversations, and what is used."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import internal, usage

app = function(internal.router, usage.router)
lambda_handler = on_lambda(app)
