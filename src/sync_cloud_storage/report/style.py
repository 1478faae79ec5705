"""How the page of a report looks: light and dark, on a phone and on paper. No outside font, image or script."""

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #1b2330; --soft: #5c6675; --line: #e1e5ea; --track: #e9edf1;
  --proven: #14804a; --uploaded: #4fb383; --downloaded: #2f7fd1; --pending: #a9b3c0; --failed: #d1352f;
  --skipped: #d9a21b; --good: #e6f5ec; --fair: #fdf3d9; --bad: #fde8e7; }
@media (prefers-color-scheme: dark) { :root {
  --page: #11151b; --card: #1a2029; --ink: #e8ecf1; --soft: #9aa6b5; --line: #2b3440; --track: #2a323d;
  --proven: #2fae6d; --uploaded: #1d7a4d; --downloaded: #4c97e3; --pending: #5f6b7a; --failed: #ef5d56;
  --skipped: #e0b040; --good: #12301f; --fair: #3a2f12; --bad: #401a19; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 18px 60px; }
h1 { font-size: 1.55rem; margin: 0 0 2px; letter-spacing: -.01em; }
h2 { font-size: 1.06rem; margin: 0 0 12px; }
p { margin: 0 0 8px; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px;
  margin-top: 16px; }
.verdict { border-radius: 12px; padding: 14px 20px; margin-top: 16px; font-size: 1.08rem; font-weight: 600; }
.verdict span { display: block; font-size: .93rem; font-weight: 400; }
.good { background: var(--good); border-left: 6px solid var(--proven); }
.fair { background: var(--fair); border-left: 6px solid var(--skipped); }
.bad { background: var(--bad); border-left: 6px solid var(--failed); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(122px, 1fr)); gap: 10px; margin-top: 16px; }
.tile { background: var(--card); border: 1px solid var(--line); border-top: 4px solid; border-radius: 10px;
  padding: 10px 14px; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .87rem; }
svg { display: block; width: 100%; height: 22px; border-radius: 6px; background: var(--track); }
td svg { height: 12px; margin-top: 5px; border-radius: 4px; }
.label { display: flex; justify-content: space-between; margin: 10px 0 4px; font-size: .9rem; }
.key { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 12px; font-size: .88rem; color: var(--soft); }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .83rem; border-bottom: 1px solid var(--line); }
th, td { padding: 6px 14px 6px 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.t { min-width: 270px; }
.w { white-space: nowrap; }
.b { width: 22%; min-width: 90px; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: nowrap; }
.sum { font-variant-numeric: tabular-nums; }
footer { margin-top: 22px; color: var(--soft); font-size: .86rem; overflow-wrap: anywhere; }
.proven { fill: var(--proven); background: var(--proven); }
.t-proven { border-top-color: var(--proven); }
.uploaded { fill: var(--uploaded); background: var(--uploaded); }
.t-uploaded { border-top-color: var(--uploaded); }
.downloaded { fill: var(--downloaded); background: var(--downloaded); }
.t-downloaded { border-top-color: var(--downloaded); }
.pending { fill: var(--pending); background: var(--pending); }
.t-pending { border-top-color: var(--pending); }
.failed { fill: var(--failed); background: var(--failed); }
.t-failed { border-top-color: var(--failed); }
.skipped { fill: var(--skipped); background: var(--skipped); }
.t-skipped { border-top-color: var(--skipped); }
.t-listed { border-top-color: var(--ink); }
.below { margin: 10px 0 0; }
@media (max-width: 640px) { main { padding: 16px 12px 40px; } .card { padding: 14px; } h1 { font-size: 1.3rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .t-listed { grid-column: 1 / -1; } .b { display: none; }
  .t { min-width: 150px; } th, td { padding-right: 10px; } }
@media print { body { background: #fff; } .card, .tile { break-inside: avoid; }
  svg, .key i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
