"""The style sheet of the HTML report: light and dark, on a screen and on paper.

Knows: CSS. Must not know: what is shown with it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b2430; --soft: #5c6876; --line: #dfe3e8; --faint: #c3cad3;
  --accent: #0b62b0; --accent-soft: #e3effa; --code: #f1f3f6; --good: #1c7c45; --good-soft: #e2f4e9;
  --critical: #a4122d; --high: #b8450b; --medium: #80620a; --low: #4a5a6c;
  --critical-soft: #fbe4e8; --high-soft: #fdeadf; --medium-soft: #fbf2d3; --low-soft: #e9edf1;
}
@media (prefers-color-scheme: dark) { :root {
  --page: #12161c; --card: #1b212a; --text: #e4e9ef; --soft: #9aa7b5; --line: #2e3743; --faint: #46525f;
  --accent: #6cb2f5; --accent-soft: #1d3349; --code: #141a21; --good: #6dd49a; --good-soft: #17352a;
  --critical: #ff8a9d; --high: #ffa672; --medium: #e9c75d; --low: #a9b8c8;
  --critical-soft: #43202a; --high-soft: #412a1c; --medium-soft: #3a3218; --low-soft: #29323d;
} }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header.top, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header.top { padding-top: 2rem; padding-bottom: .5rem; }
footer { padding-top: 1rem; padding-bottom: 3rem; color: var(--soft); font-size: .87rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; letter-spacing: -.005em; }
h3 { font-size: 1.02rem; margin: 0; line-height: 1.4; overflow-wrap: anywhere; }
h4 { font-size: .78rem; text-transform: uppercase; letter-spacing: .06em; color: var(--soft); margin: 1.3rem 0 .45rem; }
p { margin: .4rem 0; } a { color: var(--accent); } .soft { color: var(--soft); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
code, pre, .mono {
  font-family: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: .87em; background: var(--code); border-radius: 4px; padding: .1em .35em; overflow-wrap: anywhere; }
pre { font-size: .79rem; line-height: 1.5; background: var(--code); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem 1rem; margin: .4rem 0; overflow-x: auto; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.25rem;
  margin: 0 0 1rem; }
.verdict { display: flex; flex-wrap: wrap; gap: .5rem; margin: .9rem 0 0; padding: 0; list-style: none; }
.chip { display: inline-block; border-radius: 99px; padding: .12rem .7rem; font-size: .82rem; font-weight: 600;
  white-space: nowrap; }
.chip.critical { color: var(--critical); background: var(--critical-soft); }
.chip.high { color: var(--high); background: var(--high-soft); }
.chip.medium { color: var(--medium); background: var(--medium-soft); }
.chip.low { color: var(--low); background: var(--low-soft); }
.chip.good { color: var(--good); background: var(--good-soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); gap: .7rem; margin: 1.2rem 0 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .65rem .9rem; }
.tile dt { font-size: .78rem; color: var(--soft); }
.tile dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile dd small { font-size: .78rem; font-weight: 400; color: var(--soft); white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { font-size: .78rem; font-weight: 600; color: var(--soft); white-space: nowrap; }
tbody th { font-weight: 500; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.one { white-space: nowrap; } td.wide { min-width: 14rem; }
.bar { display: block; width: 100%; min-width: 6rem; height: .55rem; margin-top: .5rem; }
.bar .all { fill: var(--low-soft); } .bar .part { fill: var(--accent); }
dl.facts { display: grid; grid-template-columns: minmax(7rem, 10rem) 1fr; gap: .25rem 1rem; margin: .8rem 0 0;
  font-size: .92rem; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.finding { border-left: 4px solid var(--low); }
.finding.critical { border-left-color: var(--critical); } .finding.high { border-left-color: var(--high); }
.finding.medium { border-left-color: var(--medium); }
.finding .title { display: flex; flex-wrap: wrap; gap: .3rem .7rem; align-items: baseline; }
.finding .id { color: var(--soft); font-size: .8rem; }
details { margin: .7rem 0 0; } summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
ul.plain { margin: .3rem 0; padding-left: 1.1rem; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
svg.states { min-width: 46rem; } svg.sequence { min-width: 38rem; max-width: 54rem; }
.states text { text-anchor: middle; fill: var(--soft); font-size: 9.5px; }
.states rect { fill: var(--card); stroke: var(--faint); stroke-width: 1.2; stroke-dasharray: 4 3; }
.states .on rect { fill: var(--accent-soft); stroke: var(--accent); stroke-dasharray: none; }
.states .name { font-size: 14px; font-weight: 650; } .states .on .name { fill: var(--text); }
.states .short.left { text-anchor: start; font-size: 11px; }
.states .visits { font-size: 11px; font-weight: 600; } .states .on .visits { fill: var(--accent); }
.states .visits.right { text-anchor: end; font-size: 12px; }
.states .edge { fill: none; stroke: var(--faint); stroke-width: 1; stroke-dasharray: 2 4; opacity: .8; }
.states .edge.on { stroke: var(--accent); stroke-dasharray: none; opacity: 1; }
.tip { fill: var(--accent); } .sequence .bad { fill: var(--critical); }
.states .count { fill: var(--text); font-size: 10px; font-weight: 600; paint-order: stroke; stroke: var(--card);
  stroke-width: 4px; stroke-linejoin: round; font-variant-numeric: tabular-nums; }
.sequence text { text-anchor: middle; fill: var(--text); font-size: 13px; white-space: pre; }
.sequence .head { fill: var(--accent-soft); stroke: var(--accent); } .sequence .who { font-weight: 600; }
.sequence .life { stroke: var(--faint); stroke-dasharray: 3 4; }
.sequence .arrow { stroke: var(--accent); stroke-width: 1.6; } .sequence .arrow.wrong { stroke: var(--critical); }
.sequence .label { font-weight: 600; } .sequence .bytes { font-weight: 400; fill: var(--soft); font-size: 11.5px; }
.sequence .time { text-anchor: end; fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.sequence .fault { fill: var(--critical); font-size: 11.5px; }
.sequence .event { fill: var(--soft); font-size: 12px; paint-order: stroke; stroke: var(--card); stroke-width: 8px; }
.sequence .pause { stroke: var(--line); } .sequence .event.bad { fill: var(--critical); font-weight: 600; }
@media print {
  :root { color-scheme: light; } body { background: #fff; font-size: 10.5pt; }
  .card, .tile { break-inside: avoid; border-color: #bbb; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  details::details-content { content-visibility: visible; display: block; } summary { list-style: none; }
  .skip { display: none; } .scroll { overflow: visible; } svg.states, svg.sequence { min-width: 0; }
}
""".strip()
