"""The audit page's template; Python, so that a change of it re-runs the page like a change of any other code."""

# The page forbids itself everything but its own style and pictures inside it: it fetches nothing and runs nothing.
AUDIT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit: {{ title }}</title>
<style>
:root { --ink: #222222; --quiet: #555555; --line: #cccccc; --blue: #0072b2; --orange: #b35c00; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: var(--ink); background: #ffffff;
       font: 15px/1.45 "DejaVu Sans", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 1.8rem 0 .4rem; }
p { margin: .4rem 0; max-width: 48rem; } .quiet { color: var(--quiet); font-size: .87rem; }
.key { border-left: 4px solid var(--blue); padding: .2rem 0 .2rem .8rem; margin: .8rem 0; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0;
        border-top: 1.5px solid var(--ink); border-bottom: 1.5px solid var(--ink); }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { text-align: left; padding: .28rem .6rem .28rem 0; vertical-align: top; }
thead th { border-bottom: 1px solid var(--ink); font-weight: normal; color: var(--quiet); }
tbody th { font-weight: bold; } .rates th[scope="row"] { min-width: 11rem; } tbody th .quiet { font-weight: normal; }
.number { text-align: right; white-space: nowrap; }
figure { margin: .5rem 0; } figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: .87rem; max-width: 48rem; }
.bar { display: block; width: 13rem; height: 1.4rem; } ul { margin: .3rem 0; padding-left: 1.2rem; max-width: 48rem; }
footer { margin-top: 2rem; border-top: 1px solid var(--line); padding-top: .5rem; }
@media print {
  body { font-size: 10.5px; padding: 0; max-width: none; } h2 { margin-top: 1rem; break-after: avoid; }
  figure, table, tr { break-inside: avoid; } figure svg { max-height: 9cm; } @page { margin: 1.4cm; }
}
@media (max-width: 45rem) { .bar { width: 9rem; } }
</style>
</head>
<body>
<header>
<h1>{{ title }}</h1>
<p class="quiet">Audit of the service on one page</p>
{% if about %}<p>{{ about }}</p>{% endif %}
<p class="quiet">Data: {{ source.citation }}
Terms: {{ source.licence.rstrip('.') }}.{% if period %} Period: {{ period }}.{% endif %}</p>
<p class="key">{{ key }}</p>
</header>
<main>
<section aria-labelledby="rates">
<h2 id="rates">Rates</h2>
{% if rates %}
<table class="rates">
<thead><tr><th scope="col">Rate</th><th scope="col" class="number">Of</th><th scope="col" class="number">Estimate</th>
<th scope="col" class="number">{{ level }} interval</th><th scope="col">0 to 100 %</th><th scope="col">Benchmark</th></tr></thead>
<tbody>
{% for rate in rates %}
<tr><th scope="row">{{ rate.name }}<br><span class="quiet">{{ rate.about }}</span></th><td class="number">{{ rate.n }}</td>
<td class="number">{{ rate.estimate }}</td><td class="number">{{ rate.interval }}</td>
<td>{{ rate.bar }}</td><td>
{% for b in rate.benchmarks %}{{ b.value }} {{ b.compared }}<br><span class="quiet">{{ b.source }}</span><br>
{% else %}none named
{% endfor %}</td></tr>
{% endfor %}
</tbody>
</table>
<p class="quiet">The dot is the estimate, the line its interval, a triangle a benchmark. These rates describe those who were
measured. They are an association with therapy, not an effect of it: some people change without it, and those who leave early
are often not measured at the end.</p>
{% else %}<p>No rate of this service could be computed.</p>{% endif %}
{% if refused %}<ul>{% for line in refused %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
</section>
<section aria-labelledby="complete">
<h2 id="complete">Completeness of the data</h2>
{% if completeness.svg %}<figure>{{ completeness.svg }}<figcaption>{{ completeness.caption }}</figcaption></figure>
{% else %}<p>{{ completeness.reason }}</p>{% endif %}
</section>
<section aria-labelledby="units">
<h2 id="units">{{ unit_title }}</h2>
{% if funnel.svg %}<p>Each point is one of the {{ units }}, unnamed. The narrower the limits, the more clients a point rests on.</p>
<figure>{{ funnel.svg }}<figcaption>{{ funnel.caption }}</figcaption></figure>
{% else %}<p>{{ funnel.reason }}</p>{% endif %}
</section>
<section aria-labelledby="claims">
<h2 id="claims">What these data say on the claims of the field</h2>
{% if claims %}
<p>{{ tally }}</p>
{% if decided %}
<table>
<thead><tr><th scope="col">Claim</th><th scope="col">Verdict</th><th scope="col">Estimate and interval</th></tr></thead>
<tbody>
{% for c in decided %}
<tr><th scope="row">{{ c.id }}</th><td>{{ c.verdict }}</td><td>{{ c.text }}<br><span class="quiet">{{ c.finding }}</span></td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% else %}<p>No claim was put to the test.</p>{% endif %}
</section>
<section aria-labelledby="exclusions">
<h2 id="exclusions">Who and what was left out</h2>
{% if flow %}
<table>
<thead><tr><th scope="col">Step</th><th scope="col" class="number">In</th><th scope="col" class="number">Out</th>
<th scope="col">Reason</th></tr></thead>
<tbody>
{% for line in flow %}
<tr><th scope="row">{{ line.step }}</th><td class="number">{{ line.n_in }}</td><td class="number">{{ line.n_out }}</td>
<td>{{ line.reason }}</td></tr>
{% endfor %}
</tbody>
</table>
{% else %}<p>Nobody and nothing was left out.</p>{% endif %}
<p class="quiet">{{ unaffected }} further steps left nobody out.</p>
</section>
<section aria-labelledby="reading">
<h2 id="reading">How to read this page</h2>
<ul>
<li>Recovery: moved from the clinical to the functional range, out of those who were clinical at baseline. Reliable: by more than
measurement error alone would show. Dropout: out of the treatments whose end is known.</li>
<li>An interval holds the values that the data are compatible with; where a benchmark lies inside it, the data do not tell the
two apart.</li>
<li>A funnel is no league table. A point outside the limits asks for a look at who the clients were and how they were measured,
not for blame.</li>
<li>{{ disclosure }}</li>
{% for line in unverified %}<li>Not verified against its source: {{ line }}.</li>{% endfor %}
</ul>
</section>
</main>
<footer class="quiet">Intervals at {{ level }}. Every number stands in estimates.csv beside this page, with its method.</footer>
</body>
</html>
"""
