"""Conversations, and what is used."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import conversations, export, internal, search, usage
from lib.web.routes.threads import under_each

app = function(internal.router, usage.router, *under_each(search.router, export.router, conversations.router))
lambda_handler = on_lambda(app)
