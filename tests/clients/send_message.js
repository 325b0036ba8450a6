// Send message and stream response
async function sendMessage(chatId, content) {
  const response = await fetch(`/api/chats/${chatId}/messages`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
    },
    credentials: 'include', // Include cookies
    body: JSON.stringify({ content })
  });

  const reader = response.body.getReader();
  const decoder = new TextDecoder();

  while (true) {
    const { value, done } = await reader.read();
    if (done) break;

    const chunk = decoder.decode(value);
    const lines = chunk.split('\n');

    for (const line of lines) {
      if (line.startsWith('data: ')) {
        const data = JSON.parse(line.slice(6));

        if (data.type === 'message') {
          console.log('Message chunk:', data.data.content);
          // Append to UI
        } else if (data.type === 'status') {
          console.log('Status:', data.data.description);
        } else if (data.type === 'done') {
          console.log('Stream completed');
        } else if (data.type === 'error') {
          console.error('Error:', data.data.message);
        }
      }
    }
  }
}
