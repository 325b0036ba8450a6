"""What goes wrong around who is asking."""

from lib.errors.base import Forbidden, InvalidRequest, NotFound, ParleyError, Unauthenticated


class ResetInvalid(InvalidRequest):
    """A token for a reset that is nobody's, has expired, or was used."""

    code = "reset_invalid"
    detail = "This link does not work any more. Ask for a new one."


class PasswordTooCommon(InvalidRequest):
    """A new password is one of those that everybody tries first."""

    code = "password_too_common"
    detail = "This password is one of the most common. Choose another."


class RefreshInvalid(Unauthenticated):
    """A refresh token that is not ours, is spent, or belongs to a session that has ended."""

    code = "refresh_invalid"
    detail = "This sign-in has ended. Sign in again."


class InvalidChallenge(Unauthenticated):
    """What the second step of a log-in is given is not ours, has expired, or is spent."""

    code = "challenge_invalid"
    detail = "This log-in has taken too long or is over. Start again with the password."


class InvalidCredentials(ParleyError):
    """A login that does not fit. The same for an unknown address, a wrong password and an inactive account."""

    code = "invalid_credentials"
    detail = "The email or the password is wrong."


class InvalidCode(ParleyError):
    """A code of a second factor that is wrong, too old, or used: an app's or a recovery code."""

    code = "code_invalid"
    detail = "This code is not valid, or was used. Wait for the next one that your app shows."


class ScopeMissing(Forbidden):
    """An API key that was not made for this."""

    code = "scope_missing"
    detail = "This API key may not do this."


class OriginRefused(Forbidden):
    """A page of another origin tries to use a browser's cookies."""

    code = "origin_refused"
    detail = "Pages of this origin may not do this. The operator can add it to ALLOWED_ORIGINS."


class TeamNotFound(NotFound):
    """No such team, or none that is active."""

    code = "team_not_found"
    detail = "There is no such team."


class EmailTaken(ParleyError):
    """The address has an account in this team."""

    code = "email_taken"
    detail = "This email already has an account."


class LastAdmin(ParleyError):
    """A change that would leave a team without an active administrator."""

    code = "last_admin"
    detail = "This is the team's last administrator. Make another one first."


class TooManyKeys(ParleyError):
    """An account has as many API keys as it may have."""

    code = "too_many_keys"
    detail = "This account has as many API keys as it may have. Revoke one first."


class SetupDone(ParleyError):
    """The default team has an administrator already."""

    code = "setup_done"
    detail = "This deployment has an administrator already."


class EmailOnlyLoginDisabled(Forbidden):
    """A log-in by an address alone, where that is not allowed."""

    code = "email_only_login_disabled"
    detail = "Signing in takes a password here."


class SecondFactorEnabled(ParleyError):
    """A second factor cannot be begun while there is one."""

    code = "second_factor_enabled"
    detail = "This account has a second factor already. Disable it first."


class SecondFactorMissing(ParleyError):
    """There is no second factor to do this with."""

    code = "second_factor_missing"
    detail = "This account has no second factor. Set one up first."


class TeamRequired(ParleyError):
    """The email and password fit accounts in more than one team."""

    code = "team_required"
    detail = "This email has accounts in several teams. Name the team."
