"""Conversations."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import conversations

app = function(conversations.router)
lambda_handler = on_lambda(app)
