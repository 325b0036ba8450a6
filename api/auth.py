"""Accounts: register and log in; and the keys that tokens are signed with."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import auth, jwks

app = function(auth.router, jwks.router)
lambda_handler = on_lambda(app)
