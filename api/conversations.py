"""Conversations, and what is used."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import conversations, usage

app = function(conversations.router, usage.router)
lambda_handler = on_lambda(app)
