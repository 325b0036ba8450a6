"""A whole answer in one response."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import chat

app = function(chat.whole)
lambda_handler = on_lambda(app)
