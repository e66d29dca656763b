"""The findings of an endpoint under strange requests."""

from __future__ import annotations

from afterfit.core.finding import Check


class WrongRequestAnswered(Check):
    """A wrong request is answered as if it were right.

    What it does: sends `{}`, no rows, missing and unknown fields, wrong types and shapes, and
    broken JSON.
    Why it matters: a caller's mistake becomes a wrong prediction that nobody notices.
    Example: a misspelt optional field is dropped, and its default is scored.
    Fix: validate the body against a schema that forbids unknown fields; answer 422.
    """

    code = "R030"
    title = "wrong requests are refused"
    severity = "high"


class FieldNotNamed(Check):
    """A refusal does not say which field is wrong.

    What it does: looks for the field's name in the body of a 4xx.
    Why it matters: "Bad Request" among 200 columns costs its reader an afternoon.
    Fix: put the path of the field into the error, as validation libraries do by themselves.
    """

    code = "R031"
    title = "a refusal names the field"
    severity = "medium"


class ServerErrorOnWrongRequest(Check):
    """A request ends in 5xx, or in no answer at all, for what the caller did.

    What it does: looks at the status of every answer of the run.
    Why it matters: callers retry 5xx, alarms go off, and a load balancer takes the server out.
    Example: pydantic takes the text "NaN", and writing the answer as JSON fails. With
    allow_inf_nan=False it refuses the token NaN, and FastAPI fails to write the 422 that echoes it.
    Fix: validate before the model, and turn what the model cannot take into 422.
    """

    code = "R032"
    title = "no wrong request ends in a server error"
    severity = "high"


class StackTraceShown(Check):
    """An answer shows the inside of the server.

    What it does: looks for stack traces and source files in the body of every answer.
    Why it matters: paths, versions and queries help an attacker and nobody else.
    Fix: switch debug mode off; log the trace under a request id and answer with the id.
    """

    code = "R033"
    title = "no answer shows a stack trace"
    severity = "high"


class NonFiniteTaken(Check):
    """NaN, Infinity or a number beyond float64 is scored.

    What it does: sends the tokens NaN and Infinity, the text "NaN", and 1e309.
    Why it matters: none of them is JSON, and the model was not trained on them. To read them as a
    missing value is a policy; then null must be answered in the same way.
    Fix: refuse them (pydantic: allow_inf_nan=False, and an error handler that does not echo the
    input), and let null alone mean missing.
    """

    code = "R034"
    title = "numbers that are not finite are refused"
    severity = "high"


class NonFiniteAnswered(Check):
    """An answer holds NaN or Infinity, is no strict JSON, or has not one prediction a row.

    What it does: reads every answer strictly, counts its predictions, and looks for null and "NaN"
    where a number belongs.
    Why it matters: most callers cannot parse it; the others take it for a number.
    Fix: check the model's output before it is written, and answer 422.
    """

    code = "R035"
    title = "every answer is finite and whole"
    severity = "high"


class NullMisread(Check):
    """null is taken where it is not allowed, or refused where it is.

    What it does: sends null in one field after another and compares with what is declared.
    Why it matters: a missing value that is scored as 0 is a silent error.
    Fix: declare each field nullable or not, and validate it.
    """

    code = "R036"
    title = "null is taken where it is declared, and only there"
    severity = "medium"


class NegativeZero(Check):
    """-0.0 is answered differently from 0.

    What it does: sends both in the same row.
    Why it matters: they are one number; 1/-0.0 is not.
    Fix: add 0.0 to the inputs, which turns -0.0 into 0.0.
    """

    code = "R037"
    title = "-0.0 is 0"
    severity = "low"


class NoLimit(Check):
    """Payloads, headers or nesting have no limit.

    What it does: sends a large body, JSON that is nested 100,000 deep, a header of 1 MB, and a
    small body that inflates a thousandfold.
    Why it matters: one caller can use up the memory of the server.
    Fix: limit bodies (413) and headers (431), in the server or the proxy in front of it.
    """

    code = "R038"
    title = "payloads, headers and nesting have limits"
    severity = "medium"


class MemoryGrows(Check):
    """The server's memory grows far beyond what was sent.

    What it does: reads the resident memory of the processes that listen on the port, on this
    machine under Linux, before, while and after a check.
    Why it matters: a container is killed at its limit, with every request in it.
    Fix: limit bodies before they are read and after they are inflated.
    """

    code = "R039"
    title = "the server's memory stays bounded"
    severity = "high"


class HeldByOthers(Check):
    """A few slow or broken connections keep the others waiting.

    What it does: opens connections that send half of a request, and asks on another one.
    Why it matters: a handful of bad networks, or one attacker, stops the service.
    Fix: use a server that reads many connections at once and has a read timeout, or a proxy.
    """

    code = "R040"
    title = "slow clients hold nobody up"
    severity = "high"


class PartTakenForWhole(Check):
    """A request that was cut off is answered with a prediction.

    What it does: announces more bytes than it sends, and closes its half of the connection.
    Why it matters: half of the rows of a batch are scored as if they were all.
    Fix: compare the length of the body with content-length.
    """

    code = "R041"
    title = "a request that was cut off is not answered as whole"
    severity = "medium"


class NotWellAfterwards(Check):
    """After a strange request a right one is refused, or answered otherwise.

    What it does: repeats a right request after each strange one.
    Why it matters: one caller's mistake reaches the others.
    Fix: keep no state between requests; restart a worker that has failed.
    """

    code = "R042"
    title = "the next request is answered as before"
    severity = "high"


class AnswerChanges(Check):
    """The same row gets another answer.

    What it does: asks the same row twice, and several times in one batch.
    Why it matters: nobody can reproduce a decision.
    Fix: seed or remove what is random at prediction; ids and times are not looked at.
    """

    code = "R043"
    title = "the same row gets the same answer"
    severity = "medium"


class BatchChangesServedAnswer(Check):
    """A row is answered differently alone, among others, or in another place.

    What it does: compares a batch with its rows one by one, and with the batch in other orders.
    Why it matters: answers depend on who asks at the same time.
    Fix: use only what was learnt in fit; map answers to rows by position.
    """

    code = "R044"
    title = "an answer does not depend on its batch"
    severity = "high"


class OrderOfFieldsMatters(Check):
    """The order of the fields changes the answer.

    What it does: sends the same fields in reverse.
    Why it matters: a JSON object has no order; the values reach the wrong features.
    Fix: put the columns into the model's order by name.
    """

    code = "R045"
    title = "the order of fields changes nothing"
    severity = "high"


class MixedUp(Check):
    """Requests at once get each other's answers, or fail.

    What it does: sends different rows from several clients at once, each known from before.
    Why it matters: somebody gets the prediction of somebody else.
    Fix: keep no request in a global variable; lock what cannot be shared.
    """

    code = "R046"
    title = "requests at once are not mixed up"
    severity = "high"


class NotAProbability(Check):
    """A value that is named a probability is none.

    What it does: sends rows that are all alike, and rows far from any that were seen.
    Why it matters: thresholds and costs are computed from it.
    Fix: clip or calibrate the output, and check that classes add up to one.
    """

    code = "R047"
    title = "probabilities lie in 0..1 and add up"
    severity = "high"


class WrongMethod(Check):
    """GET or HEAD on the route of the predictions is not refused as HTTP says.

    What it does: sends both.
    Why it matters: crawlers, health checks and caches use them; 405 tells them what to do.
    Fix: answer 405 with the header Allow.
    """

    code = "R048"
    title = "other methods are refused"
    severity = "low"


class MissingModelAnswered(Check):
    """A model or route that does not exist is not refused with 404.

    What it does: asks for one.
    Why it matters: a misspelt name gets the wrong model, or an error that blames the server.
    Fix: answer 404.
    """

    code = "R049"
    title = "a model that is not there is 404"
    severity = "medium"


class ReadinessUnknown(Check):
    """The server does not tell whether it is ready.

    What it does: asks the usual paths, and whether a model that does not exist is ready.
    Why it matters: an orchestrator sends requests to a server that has not loaded its model.
    Fix: answer 200 at /readyz once the model is loaded, 503 before.
    """

    code = "R050"
    title = "the server tells when it is ready"
    severity = "medium"


class EndpointStops(Check):
    """The server stopped answering during the run.

    What it does: tells after which request no connection, or no answer, was to be had.
    Why it matters: one request is enough to take the service down.
    Fix: send the request below on a copy of the server, and look at its log.
    """

    code = "R051"
    title = "the server lives through the run"
    severity = "high"


class ChecksNotRun(Check):
    """Some checks did not run.

    What it does: counts what the time, or the server, did not allow.
    Why it matters: what did not run has not passed.
    Fix: give more time: --seconds 300.
    """

    code = "R052"
    title = "every check ran"
    severity = "info"


class RightRequestRefused(Check):
    """A right request is refused.

    What it does: sends rows like those that were taken, in other numbers and orders.
    Why it matters: callers get errors for what is allowed.
    Fix: look at the refusal; allow batches and any order of fields.
    """

    code = "R053"
    title = "right requests are answered"
    severity = "high"
