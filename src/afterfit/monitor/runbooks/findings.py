"""The runbooks of alarms; each docstring is the page of ``afterfit explain``."""

from __future__ import annotations

from afterfit.core.finding import Check


class AnySignal(Check):
    """Watches a signal against the threshold that the budget of false alarms gives.

    Why it matters: it left the range in which it stays while nothing happens.
    Example: a signal of a plugin was beyond its threshold in two windows.
    Fix: look at its plot in the evidence, and at what changed at that time: releases, sources.
    """

    code = "M070"
    title = "The signal stays in its range"
    severity = "medium"


class InputsMoved(Check):
    """Watches each input column's distribution beside the reference's.

    Why it matters: a model is only proven on rows like those it was assessed on.
    Example: an amount arrives in cents instead of euros since Tuesday's release.
    Fix: compare the histograms of the evidence. A step at one moment is an upstream change: mend
    the source. A slope is the world: assess the version on recent labels, and train again if the
    estimated loss matters. If neither, raise the smallest effect worth knowing.
    """

    code = "M071"
    title = "The input columns are distributed as in the reference"
    severity = "medium"


class InputsMovedTogether(Check):
    """Watches whether rows can be told from the reference's by all columns together.

    Why it matters: each column may look right while their combinations are new to the model.
    Example: two feeds were joined by the wrong key, so ages belong to other people.
    Fix: the columns that tell them apart are in the evidence; look at the join that makes them.
    """

    code = "M072"
    title = "The columns belong together as in the reference"
    severity = "medium"


class OutputsMoved(Check):
    """Watches the distribution of what the model answers.

    Why it matters: it is the earliest sign without labels, and what people downstream feel.
    Example: twice as many applications are refused as last month.
    Fix: look for an input alarm of the same window; without one, ask whether the mix of callers
    changed. With a new version: afterfit version rollback NAME
    """

    code = "M073"
    title = "The outputs are distributed as in the reference"
    severity = "medium"


class SchemaChanged(Check):
    """Watches names and types of the columns that callers send.

    Why it matters: a renamed column is a missing one to the model, and answers go on.
    Example: ``zip`` became ``postcode`` and is empty in every row.
    Fix: the evidence names columns that came and went; mend the caller, or refuse such rows.
    """

    code = "M074"
    title = "Callers send the columns that the model takes"
    severity = "high"


class ValuesMissing(Check):
    """Watches the share of missing values in each column.

    Why it matters: filled-in values are guesses that the model takes for facts.
    Example: a burst of rows without income since a lookup service is down.
    Fix: find the source of the column; send the rows again when it is back.
    """

    code = "M075"
    title = "Values are missing as rarely as in the reference"
    severity = "medium"


class ValuesUnseen(Check):
    """Watches rows outside of the reference: out of range, new categories, unlike as a whole.

    Why it matters: the model extrapolates on them, and nothing was proven about that.
    Example: a new country was launched, and 9 % of rows have a category never seen.
    Fix: name the sender with the evidence; refuse the rows at the door, or train with them.
    """

    code = "M076"
    title = "Few rows are outside of what the reference held"
    severity = "medium"


class TrainServeSkew(Check):
    """Watches whether served features equal those that training would compute for the same rows.

    Why it matters: two pipelines that differ make a good model bad on the first day.
    Example: training rounded the balance, serving does not.
    Fix: compare the two values of a row from the evidence, and use one code path for both.
    """

    code = "M077"
    title = "Features are served as they were trained on"
    severity = "high"


class QualityFell(Check):
    """Watches the metric on labels that came in, with its interval.

    Why it matters: this is the harm itself.
    Example: recall fell from 0.81 to 0.66 (0.61 to 0.70) on 1,900 labelled rows.
    Fix: if the version before was better: afterfit version rollback NAME. Else look at which slice
    fell, and train again with rows of the window that the evidence names.
    """

    code = "M078"
    title = "Quality on live labels holds"
    severity = "high"


class QualityEstimatedLower(Check):
    """Watches the quality that is estimated from calibrated scores, without labels.

    Why it matters: labels come weeks later; the estimate tells now, as long as classes keep their
    meaning.
    Example: accuracy is estimated at 0.84 (0.82 to 0.86) where 0.89 is usual.
    Fix: have a sample of the window's rows labelled first; the estimate cannot see a change of
    what the labels mean, and no version is rolled back by it alone.
    """

    code = "M079"
    title = "The estimated quality holds"
    severity = "medium"


class ErrorsChanged(Check):
    """Watches the stream of errors on labels for the moment at which they become more.

    Why it matters: what the inputs mean can change while they look the same.
    Example: fraudsters found a new pattern: the same inputs, other labels.
    Fix: rows after the moment in the evidence say what is new; train with them.
    """

    code = "M080"
    title = "Errors come as rarely as before"
    severity = "high"


class ClassesShifted(Check):
    """Watches the share of each class among the labels that came in.

    Why it matters: scores are calibrated for the proportions of the reference, and so is any
    threshold. Of a rare class hardly anything else shows a change before months have passed.
    Example: 2.8 % of 4,000 labels are fraud where 1.9 % are usual.
    Fix: look whether the source of the labels changed. If the world did: assess the version on
    recent labels, choose its threshold anew, and train or calibrate with them.
    """

    code = "M094"
    title = "Classes come in the usual proportions"
    severity = "medium"


class GroupsApart(Check):
    """Watches the difference between the groups that were named.

    Why it matters: the mean can hold while one group is treated worse, which may be unlawful.
    Example: the share of approvals of one group fell below four fifths of another's.
    Fix: look whether the group's inputs moved; take the matter to the owner in the model card.
    """

    code = "M081"
    title = "Groups are treated alike"
    severity = "high"


class GateBroken(Check):
    """Watches the gates of ``afterfit.toml`` on live rows, each with its interval.

    Why it matters: what a version had to prove before release must stay true in service.
    Example: latency_p99_ms <= 20 held at release and is 31 (28 to 35) in this window.
    Fix: look for another alarm of the window, which says why. If the version is to blame:
    afterfit version rollback NAME. If the gate asks too much: change it, with a reason.
    """

    code = "M082"
    title = "The gates hold on live rows"
    severity = "high"


class SlowAnswers(Check):
    """Watches latency beside its objective.

    Why it matters: callers time out, and a late answer is none.
    Example: p99 went from 12 ms to 48 ms when requests doubled.
    Fix: compare queue and model time in the evidence. A long queue asks for more replicas:
    afterfit autoscale NAME. A slow model has larger rows, or is a new version: load it again.
    """

    code = "M083"
    title = "Answers come in time"
    severity = "medium"


class AnswersFail(Check):
    """Watches predictions that failed or were refused, by how fast they spend the objective.

    Why it matters: a row without an answer is a decision that somebody else's default made.
    Example: 4 % of requests are refused because a column is missing.
    Fix: the commonest error is in the evidence. Of one caller: tell them. Of all since a release:
    afterfit version rollback NAME
    """

    code = "M084"
    title = "Nearly every request gets an answer"
    severity = "high"


class ResourcesShort(Check):
    """Watches processors, memory, the queue and requests that are turned away.

    Why it matters: a full machine fails all at once.
    Example: memory grows by 3 MB a minute and meets its limit tonight.
    Fix: growth without more traffic is a leak: restart, and report it. With traffic: autoscale.
    """

    code = "M085"
    title = "The server has room"
    severity = "medium"


class CostsMore(Check):
    """Watches what the endpoint costs beside the forecast, and idle time that is billed.

    Why it matters: nobody notices money that is spent a little every hour.
    Example: two replicas were idle for six days, 118 USD.
    Fix: scale down, or take the endpoint away: see afterfit autoscale NAME
    """

    code = "M086"
    title = "The endpoint costs what was foreseen"
    severity = "low"


class NothingComes(Check):
    """Watches for predictions that stopped coming.

    Why it matters: silence looks like peace in every other signal.
    Example: the caller's batch job has not run since Friday.
    Fix: look whether the server answers (afterfit endpoint status NAME), then ask the caller.
    """

    code = "M087"
    title = "Predictions keep coming"
    severity = "high"


class LabelsLate(Check):
    """Watches labels that stopped coming, or that come for some decisions only.

    Why it matters: quality is then measured on old or on easier rows.
    Example: refused applications never get a label.
    Fix: look at the feed of labels; have a random sample of the others labelled.
    """

    code = "M088"
    title = "Labels keep coming, for all decisions"
    severity = "medium"


class ChannelFails(Check):
    """Looks at deliveries that were given up.

    Why it matters: an alarm that nobody hears is none.
    Example: the token of the chat was revoked, and 8 tries failed.
    Fix: mend the address in its variable or file, and try it: afterfit monitor test-channel NAME
    """

    code = "M089"
    title = "Alarms reach their channels"
    severity = "high"
