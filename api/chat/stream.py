"""The same turn, streamed. On Lambda this app runs under the web adapter: Mangum would buffer it."""

from lib.web.app import function
from lib.web.routes import chat

app = function(chat.streamed)
