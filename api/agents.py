"""Agents, and the tools that they may call."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import agents, tools

app = function(*agents.routers, tools.router)
lambda_handler = on_lambda(app)
