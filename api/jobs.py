"""What a schedule calls."""

from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.routes import jobs

app = function(jobs.router)
lambda_handler = on_lambda(app)
