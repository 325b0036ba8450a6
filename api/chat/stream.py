"""The same turn, streamed. On Lambda this app runs under the web adapter: Mangum would buffer it."""

from lib.web.app import function
from lib.web.routes import chat, flow, messages, turns
from lib.web.routes.threads import under_each

app = function(chat.streamed, flow.streamed, *under_each(messages.router, turns.router))
