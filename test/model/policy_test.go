package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	host    = "reg.example:5000"
	oneRepo = "team/app"
	twoRepo = "team/base"
)

// policy is what this model knows of a release policy.
type policy struct {
	name    string
	match   []string // below the host; the one with more segments is more specific
	context map[string]string
	waivers *waiverRule
	stages  []stage
	version int
	text    string // as it is proposed
}

type waiverRule struct {
	quorum
	max time.Duration
}

type quorum struct {
	min  int
	orgs []string
}

type stage struct {
	quorum     // of approvals
	name, from string
	soak       time.Duration
	freeze     *window
	maxAge     time.Duration
	exclude    []string // nil: pusher and requester
	expires    time.Duration
	robots     bool
	evidence   []evidenceRule
	conditions []condition
	witnesses  *quorum
	glass      *glass
	grace      time.Duration
}

// window is of every day, within an hour's grain.
type window struct{ from, to int }

func (w *window) holds(t time.Time) bool { return t.UTC().Hour() >= w.from && t.UTC().Hour() < w.to }

type evidenceRule struct {
	name       string
	signers    []string // organisations, whose scanners may sign
	min        int
	maxAge     time.Duration
	critical   int // findings, at most
	continuous bool
}

func (e *evidenceRule) accepts(p *piece) bool {
	return slices.Contains(e.signers, p.by.org) && slices.Contains(p.roles, "scanner")
}

// condition: context.VARIABLE == false
type condition struct {
	name, variable string
	continuous     bool
}

type glass struct {
	by      []string // organisations, whose release managers may
	without []string
	review  time.Duration
	who     []string // may review; nil: any other member
}

func (s *stage) excludes(what string) bool {
	return s.exclude == nil || slices.Contains(s.exclude, what)
}

func (s *stage) rules() (names []string) {
	add := func(has bool, name string) {
		if has {
			names = append(names, name)
		}
	}
	add(s.soak != 0, "soak")
	add(s.freeze != nil, "freeze")
	add(s.maxAge != 0, "max-age")
	for _, e := range s.evidence {
		add(true, "evidence/"+e.name)
	}
	for _, c := range s.conditions {
		add(true, "condition/"+c.name)
	}
	add(s.witnesses != nil, "witnesses")
	return names
}

func (p *policy) stage(name string) *stage {
	if p == nil {
		return nil
	}
	for i := range p.stages {
		if p.stages[i].name == name {
			return &p.stages[i]
		}
	}
	return nil
}

func (p *policy) matches(repo string) bool {
	want, have := p.match, strings.Split(repo, "/")
	for i, w := range want {
		if w == "**" {
			return len(have) > i
		}
		if i >= len(have) || w != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}

// specific counts names, and one more where nothing is left open.
func (p *policy) specific() int {
	if p.match[len(p.match)-1] == "**" {
		return len(p.match) - 1
	}
	return len(p.match) + 1
}

func duration(d time.Duration) string { return fmt.Sprintf("%dm", d/time.Minute) }

// write fills in the text in the contract's language.
func (p policy) write() *policy {
	type object = map[string]any
	text := func(m object, name string, d time.Duration) {
		if d != 0 {
			m[name] = duration(d)
		}
	}
	quorumOf := func(q quorum) object {
		m := object{"min": q.min}
		if q.orgs != nil {
			m["orgs"] = q.orgs
		}
		return m
	}
	var stages []object
	for _, s := range p.stages {
		approvals := quorumOf(s.quorum)
		if s.exclude != nil {
			approvals["exclude"] = s.exclude
		}
		text(approvals, "expires", s.expires)
		if s.robots {
			approvals["robots"] = true
		}
		m := object{"name": s.name, "approvals": approvals}
		if s.from != "" {
			m["from"] = s.from
		}
		text(m, "soak", s.soak)
		text(m, "maxAge", s.maxAge)
		text(m, "grace", s.grace)
		if s.freeze != nil {
			m["freeze"] = []object{{"days": []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}, "from": fmt.Sprintf("%02d:00", s.freeze.from), "to": fmt.Sprintf("%02d:00", s.freeze.to)}}
		}
		var evidence, conditions []object
		for _, e := range s.evidence {
			var signers []object
			for _, org := range e.signers {
				signers = append(signers, object{"org": org, "role": "scanner"})
			}
			r := object{"name": e.name, "type": "vuln-scan", "signers": signers, "min": e.min, "condition": fmt.Sprintf("facts.critical <= %d", e.critical), "continuous": e.continuous}
			text(r, "maxAge", e.maxAge)
			evidence = append(evidence, r)
		}
		for _, c := range s.conditions {
			conditions = append(conditions, object{"name": c.name, "cel": "context." + c.variable + " == false", "continuous": c.continuous})
		}
		if evidence != nil {
			m["evidence"] = evidence
		}
		if conditions != nil {
			m["conditions"] = conditions
		}
		if s.witnesses != nil {
			m["witnesses"] = quorumOf(*s.witnesses)
		}
		if g := s.glass; g != nil {
			var by []object
			for _, org := range g.by {
				by = append(by, object{"org": org, "role": "release-manager"})
			}
			b := object{"by": by, "without": g.without, "review": duration(g.review)}
			if g.who != nil {
				b["reviewers"] = g.who
			}
			m["breakGlass"] = b
		}
		stages = append(stages, m)
	}
	spec := object{"match": []string{host + "/" + strings.Join(p.match, "/")}, "stages": stages}
	if p.context != nil {
		spec["context"] = p.context
	}
	if p.waivers != nil {
		w := quorumOf(p.waivers.quorum)
		w["maxDuration"] = duration(p.waivers.max)
		spec["waivers"] = w
	}
	b, err := json.Marshal(object{"apiVersion": "waybill.dev/v1", "kind": "ReleasePolicy", "metadata": object{"name": p.name}, "spec": spec})
	if err != nil {
		panic(err)
	}
	p.text = string(b)
	return &p
}

const (
	staging, production = "staging", "production"
	hour                = time.Hour
	everybody           = "nobody is excluded"
)

// recovery is the policy by which those who obey get an image released.
const recovery = 0

// texts are the policies that are proposed, by number.
var texts = sync.OnceValue(func() []*policy {
	first := stage{name: staging, quorum: quorum{min: 1}}
	all := []string{"team", "**"}
	scan := func(min int, maxAge time.Duration, continuous bool, signers ...string) []evidenceRule {
		return []evidenceRule{{name: "scan", signers: signers, min: min, maxAge: maxAge, continuous: continuous}}
	}
	list := []policy{
		{name: "default", match: all, stages: []stage{first, {name: production, from: staging, soak: 10 * time.Minute, quorum: quorum{min: 2}, exclude: []string{"requester"}}}},
		{name: "default", match: all, waivers: &waiverRule{quorum{2, []string{security}}, 48 * hour}, stages: []stage{first, {
			name: production, from: staging, soak: 10 * time.Minute, quorum: quorum{2, []string{security}}, expires: 6 * hour, grace: 2 * hour,
			evidence: scan(1, 24*hour, true, security, audit),
			glass:    &glass{by: []string{platform, vendor}, without: []string{"soak", "evidence/scan", "approvals"}, review: 2 * hour},
		}}},
		{name: "default", match: all, waivers: &waiverRule{quorum{1, nil}, 24 * hour}, stages: []stage{first, {
			name: production, from: staging, quorum: quorum{min: 2}, freeze: &window{10, 12}, maxAge: 12 * hour,
			glass: &glass{by: []string{platform}, without: []string{"freeze", "max-age", "from"}, review: hour, who: []string{audit, security}},
		}}},
		{name: "default", match: all, stages: []stage{{name: staging, quorum: quorum{min: 1}, exclude: []string{}, robots: true}, {
			name: production, from: staging, evidence: scan(2, 0, true, security, audit, platform), grace: hour,
		}}},
		{name: "default", match: all, context: map[string]string{"incident": platform}, waivers: &waiverRule{quorum{2, nil}, 24 * hour}, stages: []stage{first, {
			name: production, from: staging, soak: 5 * time.Minute, quorum: quorum{min: 1}, grace: 30 * time.Minute,
			conditions: []condition{{"calm", "incident", true}}, witnesses: &quorum{2, []string{audit}},
		}}},
		{name: "default", match: all, stages: []stage{{name: staging, quorum: quorum{min: 1}, exclude: []string{}}, {name: production, from: staging, quorum: quorum{min: 1}, exclude: []string{}}}},
		{name: "default", match: all, stages: []stage{first, {name: production, quorum: quorum{3, []string{security, audit}}, exclude: []string{"requester"}, evidence: scan(1, 6*hour, true, security), expires: 2 * hour}}},
		{name: "narrow", match: []string{"team", "app"}, stages: []stage{{name: staging, quorum: quorum{min: 2}}, {name: production, from: staging, quorum: quorum{2, []string{security}}, evidence: scan(1, 0, true, security, audit), grace: hour}}},
	}
	var written []*policy
	for _, p := range list {
		written = append(written, p.write())
	}
	return written
})

// item is an image of the corpus.
type item struct {
	digest   provenance.Digest
	body     []byte
	children []int
}

// The corpus: plain images, indexes over them, a swarm of indexes over image 0,
// and a chain of indexes that is deeper than is looked at.
const (
	plainImages = 5
	swarmFrom   = 10
	swarmSize   = 34
	chainFrom   = swarmFrom + swarmSize
	chainSize   = 9
)

var corpus = sync.OnceValue(func() []item {
	var items []item
	add := func(body []byte, children ...int) {
		items = append(items, item{provenance.SHA256Of(body), body, children})
	}
	index := func(name string, children ...int) {
		var list []string
		for _, c := range children {
			kind := "manifest"
			if items[c].children != nil {
				kind = "index"
			}
			list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s.v1+json","digest":%q,"size":7}`, kind, items[c].digest))
		}
		add(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s],"annotations":{"name":%q}}`, strings.Join(list, ","), name), children...)
	}
	for i := range plainImages {
		add(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":7},"layers":[]}`,
			provenance.SHA256Of([]byte{byte(i)})))
	}
	index("a", 0, 1)        // 5
	index("b", 1, 2)        // 6
	index("over a", 5, 3)   // 7
	index("over b", 6, 5)   // 8
	index("over all", 7, 8) // 9
	for i := range swarmSize {
		index(fmt.Sprint("swarm ", i), 0)
	}
	for i := range chainSize {
		below := 4
		if i > 0 {
			below = chainFrom + i - 1
		}
		index(fmt.Sprint("chain ", i), below)
	}
	return items
})
