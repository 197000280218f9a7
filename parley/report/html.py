"""The page itself: one HTML text without script or outside request, light and dark, readable without colours."""

from __future__ import annotations

from html import escape

from parley.plan import is_red
from parley.report import sections, sections_data
from parley.report.data import ReportData
from parley.report.tables import table

CSS = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5b6570;--line:#d4dae1;--card:#f6f8fa;
--a:#0b62c4;--b:#b3480b;
--p0:#0b62c4;--p1:#b3480b;--p2:#1a7f4b;--p3:#7b3fb3;--red:#b3141d;--ok:#17713f}
@media(prefers-color-scheme:dark){:root{--bg:#11151a;--fg:#e6eaef;--dim:#9aa5b1;--line:#303a45;--card:#191f26;
--a:#6cb0ff;
--b:#ffa468;--p0:#6cb0ff;--p1:#ffa468;--p2:#63d297;--p3:#c69bf5;--red:#ff8a8f;--ok:#63d297}}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:66rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}
h1{margin:0 0 .25rem;font-size:1.7rem}h2{margin:2.4rem 0 .6rem;font-size:1.2rem}p{margin:.3rem 0}.dim{color:var(--dim)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.8rem;margin:1.2rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem}
.card b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;overflow-wrap:anywhere}
.ok{color:var(--ok)}.red{color:var(--red);font-weight:700}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:1rem;align-items:start}
.plot{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem .9rem}
.plot:has(.wide){grid-column:1/-1}figcaption{font-weight:600;margin:0 0 .4rem}
.chart{width:100%;max-width:32rem;height:auto;display:block;font-family:system-ui,sans-serif}
.chart.wide{max-width:46rem}
.frame{fill:none;stroke:var(--line)}.grid{stroke:var(--line);stroke-width:.7}
.chance{stroke:var(--dim);stroke-dasharray:3 5}
.fed,.cen{fill:none;stroke-width:2.4}.fed{stroke:var(--a)}.cen{stroke:var(--b);stroke-dasharray:7 4}
rect.fed,rect.b0,.s0{fill:var(--a)}rect.cen,rect.b1,.s1{fill:var(--b)}rect.fed,rect.cen{stroke:none}
.dot{fill:var(--card)}.plate{fill:var(--card);fill-opacity:.85}
.tick{fill:var(--dim);font-size:12px}.label{fill:var(--fg);font-size:12.5px}.cell{fill:var(--fg);font-size:12px}
.p0{fill:var(--p0)}.p1{fill:var(--p1)}.p2{fill:var(--p2)}.p3{fill:var(--p3)}
"""


def page(data: ReportData) -> str:
    """The whole page as text."""
    shown = [
        _head(data),
        sections.quality(data),
        sections.measures(data),
        sections_data.points(data),
        sections_data.training(data),
        sections_data.binning(data),
        sections_data.correlation(data),
        sections_data.drift(data),
        sections_data.leakage(data),
        _disclosures(data),
        _parties(data),
        _timing(data),
        f'<h2>Contract</h2><p><code id="contract">{escape(data.contract or "none was signed")}</code></p>'
        '<p class="dim">Every party signed this hash before anything ran; results open only under it.</p>',
    ]
    body = "\n".join(s for s in shown if s)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(data.title)}</title><style>{CSS}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(d: ReportData) -> str:
    css = "ok" if d.state == "succeeded" else "red"
    m, c = d.metrics or {}, d.central or {}
    cards = [("AUC, federated", _number(m.get("auc")), "auc"), ("KS, federated", _number(m.get("ks")), "ks")]
    if m.get("auc") is None:
        cards += [("accuracy", _number(m.get("accuracy")), "accuracy"), ("RMSE", _number(m.get("rmse")), "rmse")]
        cards.append(("NDCG of the first 10", _number(m.get("ndcg_10")), "ndcg"))
    if d.central is not None:
        cards.append(("AUC, central", _number(c.get("auc")), "central-auc"))
    if "aligned" in d.sizes:
        cards.append(("records in common", f"{d.sizes['aligned']:,}", "aligned"))
    cards.append(("left the parties", _bytes(sum(int(e["bytes"]) for e in d.egress)), "bytes"))
    if d.seconds is not None:
        cards.append(("took", f"{d.seconds:.1f} s", "took"))
    shown = [(t, v, i) for t, v, i in cards if v]
    tiles = "".join(
        f'<div class="card"><span class="dim">{t}</span><b id="{i}">{escape(v)}</b></div>' for t, v, i in shown
    )
    reason = f'<p class="red">{escape(d.reason)}</p>' if d.reason else ""
    return (
        f"<h1>{escape(d.title)}</h1><p>{escape(d.purpose)}</p>"
        f'<p class="dim">Job <code>{escape(d.job)}</code>, submitted by {escape(d.submitter)}: '
        f'<strong id="state" class="{css}">{escape(d.state)}</strong></p>{reason}<div class="cards">{tiles}</div>'
    )


def _disclosures(d: ReportData) -> str:
    rows = []
    for e in sorted(d.egress, key=lambda e: (e["step"], e["party"], e["to"], e["tag"])):
        red = is_red(str(e["disclosure"]))
        word = f'<span class="red">{escape(str(e["disclosure"]))} (shows single rows or updates)</span>'
        rows.append(
            (
                escape(str(e["step"])),
                escape(str(e["party"])),
                escape(str(e["to"])),
                f"<code>{escape(str(e['tag']))}</code>",
                word if red else escape(str(e["disclosure"])),
                f"{int(e['messages']):,}",
                f"{int(e['bytes']):,}",
            )
        )
    head = ("step", "from", "to", "message", "tells the receiver", "messages", "bytes")
    return (
        "<h2>Who disclosed what to whom</h2>"
        '<p class="dim">From each party\'s own ledger, message kind by message kind. Nothing else left a party.</p>'
        + table("disclosures", head, rows, 2)
    )


def _parties(d: ReportData) -> str:
    if not d.parties:
        return ""
    believed = {"pinned": "code compared by people", "roster": "as the coordinator shows it"}
    rows = [
        (
            escape(p.name),
            f"<code>{p.fingerprint}</code>",
            escape(believed[p.believed]),
            escape(p.version),
            "none" if p.rows is None else f"up to {p.rows:,}",
        )
        for p in d.parties
    ]
    return "<h2>Parties</h2>" + table("parties", ("party", "fingerprint", "identity", "version", "rows"), rows, 1)


def _timing(d: ReportData) -> str:
    rows = []
    for s in d.steps:
        seconds = s.get("seconds")
        took = "" if seconds is None else f"{float(seconds):.1f}"
        who = ", ".join(s["parties"])
        rows.append((escape(s["name"]), escape(s["uses"]), escape(who), escape(s["state"]), str(s["attempt"]), took))
    return "<h2>Steps</h2>" + table("steps", ("step", "protocol", "parties", "state", "attempts", "seconds"), rows, 2)


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else ""


def _bytes(n: int) -> str:
    return f"{n / 1e6:,.1f} MB" if n >= 100_000 else f"{n:,} B"
