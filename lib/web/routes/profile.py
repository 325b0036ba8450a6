"""One's own profile: a name, a picture, and what a front end wants to remember."""

from typing import Annotated

from fastapi import APIRouter, Body, UploadFile

from lib.auth import people
from lib.files.images import LARGEST, read_picture
from lib.store.profiles import Profile
from lib.web.deps import SignedIn, ThisClient, ThisInstance
from lib.web.middleware import takes_a_picture
from lib.web.profile import OwnChanges

router = APIRouter(prefix="/me", tags=["auth"])


@router.patch("")
@takes_a_picture
async def change(
    changes: Annotated[OwnChanges, Body()], caller: SignedIn, instance: ThisInstance, client: ThisClient
) -> Profile:
    """Change the fields of one's profile that the body names."""
    return await people.change(instance.database, caller, caller.user, {**changes}, client=client)


@router.put("/avatar")
@router.post("/avatar")
@takes_a_picture
async def upload(file: UploadFile, caller: SignedIn, instance: ThisInstance, client: ThisClient) -> Profile:
    """Upload a picture of oneself. Its name and the kind that it says it is are not asked."""
    picture = read_picture(await file.read(LARGEST + 1))
    return await people.change(instance.database, caller, caller.user, {"avatar": picture.data_uri}, client=client)


@router.delete("/avatar")
async def remove(caller: SignedIn, instance: ThisInstance, client: ThisClient) -> Profile:
    """Have no picture any more."""
    return await people.change(instance.database, caller, caller.user, {"avatar": None}, client=client)
