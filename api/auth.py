"""Accounts, log-ins, second factors and users; and the keys that tokens are signed with."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import identity, jwks, users

app = function(*identity.routers, users.router, jwks.router)
lambda_handler = on_lambda(app)
