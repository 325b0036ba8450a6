"""A whole answer in one response."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import chat, flow

app = function(chat.whole, flow.whole)
lambda_handler = on_lambda(app)
