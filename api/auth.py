"""Accounts: register and log in."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import auth

app = function(auth.router)
lambda_handler = on_lambda(app)
