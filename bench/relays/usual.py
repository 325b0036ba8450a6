"""A chat's answer streamed as most people write it: FastAPI, a JWT, an ORM, the openai SDK and json.

    uvicorn bench.relays.usual:app

`UPSTREAM`, `DATABASE` (an SQLAlchemy URL) and `SECRET` are in the environment.
"""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final, cast

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HISTORY: Final = 20

engine = create_async_engine(os.environ["DATABASE"])
sessions = async_sessionmaker(engine, expire_on_commit=False)
model = AsyncOpenAI(base_url=os.environ["UPSTREAM"] + "/v1", api_key="key")


class Base(DeclarativeBase):
    """The tables."""


class Message(Base):
    """A message of a conversation."""

    __tablename__ = "messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(index=True)
    user_id: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    created_at: Mapped[datetime]


class Question(BaseModel):
    """What is asked."""

    conversation_id: int
    content: str


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Make the tables, and close what is open at the end."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> int:
    """Return who asks."""
    try:
        return int(jwt.decode(credentials.credentials, os.environ["SECRET"], algorithms=["HS256"])["sub"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None


@app.post("/chat")
async def chat(question: Question, user_id: Annotated[int, Depends(current_user)]) -> StreamingResponse:
    """Answer, as it is written."""
    return StreamingResponse(answer(question, user_id), media_type="text/event-stream")


async def answer(question: Question, user_id: int) -> AsyncGenerator[str]:
    """Load the history, ask the model, pass its answer on, and keep it."""
    of_this_one = select(Message).where(Message.conversation_id == question.conversation_id)
    async with sessions() as session:
        said = (await session.scalars(of_this_one.order_by(Message.id.desc()).limit(HISTORY))).all()
        session.add(message(question, user_id, "user", question.content))
        await session.commit()
    history = [{"role": one.role, "content": one.content} for one in reversed(said)]
    history.append({"role": "user", "content": question.content})
    messages = cast("list[ChatCompletionMessageParam]", history)
    text = ""
    stream = await model.chat.completions.create(model="gpt-4.1-mini", messages=messages, stream=True)
    async for chunk in stream:
        if chunk.choices and (piece := chunk.choices[0].delta.content):
            text += piece
            yield f"data: {json.dumps({'content': piece})}\n\n"
    async with sessions() as session:
        session.add(message(question, user_id, "assistant", text))
        await session.commit()
    yield f"data: {json.dumps({'saved': True})}\n\n"


def message(question: Question, user_id: int, role: str, content: str) -> Message:
    """Return a message of the question's conversation, said now."""
    return Message(
        conversation_id=question.conversation_id,
        user_id=user_id,
        role=role,
        content=content,
        created_at=datetime.now(UTC).replace(tzinfo=None),
    )
