"""Whether Parley is well, and what it does."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import health, metrics

app = function(health.router, metrics.router)
lambda_handler = on_lambda(app)
