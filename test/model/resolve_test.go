package model

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// resolved is an act as both sides are given it.
type resolved struct {
	args      []string
	transient map[string][]byte
	// model says what the act does by the law; nil where it is refused.
	model   func(at time.Time) func()
	payload []byte // what the chaincode answered
}

func (r *resolved) field(name string) string {
	var m map[string]any
	if json.Unmarshal(r.payload, &m) != nil {
		return ""
	}
	if p, ok := m["proposal"].(map[string]any); ok && name != "" {
		m = p
	}
	s, _ := m[name].(string)
	return s
}

// nth is one of a list, whatever n is.
func nth[T any](list []T, n int) (v T, ok bool) {
	if len(list) == 0 {
		return v, false
	}
	return list[((n%len(list))+len(list))%len(list)], true
}

const noHash = "0000000000000000000000000000000000000000000000000000000000000000"

// resolve finds what an act is about; nil where there is nothing.
func (w *world) resolve(a act) *resolved {
	l, by := w.law, a.By
	s := subject{a.Repo, a.Image, a.Stage}
	about := func(more ...string) []string {
		return append([]string{a.Do, host, a.Repo, digest(a.Image), a.Stage}, more...)
	}
	simple := func(model func(at time.Time) func(), args ...string) *resolved {
		return &resolved{args: args, model: model}
	}
	attempt := 0
	if p := l.promotions[s]; p != nil {
		attempt = p.attempt
	}
	switch a.Lie {
	case "attempt":
		attempt++
	case "old attempt":
		attempt--
	}
	switch a.Do {
	case "member:Grant", "member:Revoke":
		return simple(func(at time.Time) func() { return l.grant(by, a.Text, a.Lie, a.Do == "member:Revoke", at) }, a.Do, a.Text, a.Lie)
	case "member:TakeBack":
		since := w.now.Add(-time.Duration(a.N) * time.Second).Truncate(time.Second)
		return simple(func(at time.Time) func() { return l.takeBack(by, a.Text, since, at) }, a.Do, a.Text, since.Format(time.RFC3339), "stolen")
	case "proposal:Open":
		return w.opening(a)
	case "proposal:Vote", "proposal:Withdraw":
		return w.voting(a)
	case "quarantine:Set", "quarantine:Lift":
		return simple(func(at time.Time) func() { return l.hold(by, a.Image, a.Do == "quarantine:Lift", at) }, a.Do, digest(a.Image), "because")
	case "record:Segment":
		events := w.events(a)
		transient, args := w.segmentOf(by, a.Repo, events, a.Lie)
		return &resolved{args: args, transient: transient, model: func(at time.Time) func() { return l.record(by, a.Repo, events, at) }}
	case "record:Manifest":
		body := corpus()[a.Image].body
		if a.Lie != "" { // another image's
			body = corpus()[(a.Image+1)%plainImages].body
		}
		return &resolved{args: about()[:4], transient: map[string][]byte{"manifest": body}, model: func(time.Time) func() {
			if a.Lie != "" {
				return nil
			}
			return l.prove(by, place{a.Repo, a.Image})
		}}
	case "record:Witness":
		return simple(func(time.Time) func() { return l.witness(by, place{a.Repo, a.Image}) }, about()[:4]...)
	case "evidence:Submit":
		return w.submitting(a)
	case "evidence:Withdraw":
		var mine []*piece
		for _, p := range l.pieces {
			if p.by.org == by.org || a.Lie != "" {
				mine = append(mine, p)
			}
		}
		p, ok := nth(mine, a.N)
		if !ok {
			return nil
		}
		return simple(func(at time.Time) func() { return l.takeBackPiece(by, p, at) }, a.Do, digest(p.image), "vuln-scan", p.id, "wrong")
	case "context:Set":
		var value *bool
		if a.Text != "null" {
			is := a.Text == "true"
			value = &is
		}
		return simple(func(at time.Time) func() { return l.tell(by, "incident", value, at) }, a.Do, "incident", a.Text)
	case "waiver:Request":
		return w.asking(a)
	case "waiver:Approve", "waiver:Revoke":
		x, ok := nth(l.waivers, a.N)
		if !ok {
			return nil
		}
		if a.Do == "waiver:Approve" {
			return simple(func(at time.Time) func() { return l.agreeWaiver(by, x, at) }, a.Do, host, x.repo, x.id)
		}
		return simple(func(at time.Time) func() { return l.revokeWaiver(by, x, at) }, a.Do, host, x.repo, x.id, "over")
	case "promotion:Request":
		return simple(func(at time.Time) func() { return l.request(by, s, at) }, about()...)
	case "promotion:Approve":
		return w.approving(a)
	case "promotion:Reject":
		return simple(func(at time.Time) func() { return l.reject(by, s, attempt, at) }, about(strconv.Itoa(attempt), "no")...)
	case "promotion:Withdraw":
		return simple(func(at time.Time) func() { return l.withdrawWord(by, s, at) }, about("not yet")...)
	case "promotion:Cancel":
		return simple(func(at time.Time) func() { return l.cancel(by, s, attempt, at) }, about(strconv.Itoa(attempt), "not now")...)
	case "release:Release":
		return simple(func(at time.Time) func() { return l.releasing(by, s, at) }, about()...)
	case "release:Auto":
		return simple(func(at time.Time) func() { return l.auto(by, s, at) }, about()...)
	case "release:Resume":
		return simple(func(time.Time) func() { return l.resume(by, stageKey{a.Repo, a.Stage}) }, a.Do, host, a.Repo, a.Stage)
	case "release:BreakGlass":
		return simple(func(at time.Time) func() { return l.breakGlass(by, s, at) }, about("outage")...)
	case "release:Review":
		hash := noHash
		if r, _ := l.facts(s, w.now).released(a.Stage); r != nil && r.hash != "" && a.Lie == "" {
			hash = r.hash
		}
		return simple(func(at time.Time) func() { return l.review(by, s, hash, at) }, about(hash, "looked at it")...)
	case "release:Settle":
		return simple(func(at time.Time) func() { return l.settle(by, s, at) }, about()...)
	case "clock:Tick":
		return simple(func(at time.Time) func() { return l.tick(by, at) }, a.Do)
	}
	panic("no such act: " + a.Do)
}

// events are what a push act tells of.
func (w *world) events(a act) []event {
	at := w.now.Add(a.Skew)
	switch a.Lie {
	case "future":
		at = at.Add(3 * time.Minute)
	case "old":
		at = at.Add(-48 * time.Hour)
	}
	at = at.Truncate(time.Millisecond)
	e := event{do: "push", image: a.Image, tag: a.Text, bytes: true, at: at}
	switch a.N {
	case 1:
		e.bytes = false
	case 2:
		e.do = "delete"
	case 3:
		e.do, e.tag = "untag", "1.0"
	case 4: // with all that it lists
		events := []event{e}
		for _, c := range corpus()[a.Image].children {
			events = append(events, event{do: "push", image: c, bytes: true, at: at})
		}
		return events
	case 5, 6: // the swarm over image 0, and its end
		var events []event
		for i := range swarmSize {
			events = append(events, event{do: map[int]string{5: "push", 6: "delete"}[a.N], image: swarmFrom + i, bytes: true, at: at})
		}
		return events
	case 7: // the chain
		events := []event{{do: "push", image: 4, bytes: true, at: at}}
		for i := range chainSize {
			events = append(events, event{do: "push", image: chainFrom + i, bytes: true, at: at})
		}
		return events
	case 8: // push and delete at once
		return []event{e, {do: "delete", image: a.Image, at: at}}
	case 9: // everything that there is but swarm and chain
		var events []event
		for i := range swarmFrom {
			events = append(events, event{do: "push", image: i, bytes: true, at: at})
		}
		return events
	}
	return []event{e}
}

// opening proposes a change. Text is its kind; N which text, or image.
func (w *world) opening(a act) *resolved {
	var p proposal
	var body string
	switch a.Text {
	case "policy":
		q, _ := nth(texts(), a.N)
		p = proposal{kind: "policy", name: q.name, body: q.text, policy: q}
		body = q.text
	case "registry":
		p = proposal{kind: "registry", repo: a.Repo, to: a.Lie}
		p.name = a.Repo + " " // the owner is no part of it
		p.body = a.Repo + " " + a.Lie
		body = claimBody(a.Repo, a.Lie)
	case "lift":
		p = proposal{kind: "lift", image: a.Image, to: a.Lie, name: fmt.Sprint(a.Image, a.Lie), body: fmt.Sprint(a.Image, a.Lie)}
		body = fmt.Sprintf(`{"digest":%q,"msp":%q}`, digest(a.Image), a.Lie)
	}
	r := &resolved{args: []string{a.Do, a.Text, body}}
	r.model = func(at time.Time) func() {
		done := w.open(a.By, p, at)
		if done == nil {
			return nil
		}
		return func() {
			if q := done(); q.id == "" {
				q.id, q.hash = r.field("id"), r.field("hash")
			}
		}
	}
	return r
}

func (w *world) voting(a act) *resolved {
	var some []*proposal
	for _, p := range w.proposals {
		if p.id != "" && (p.status == "open" || a.Lie != "") {
			some = append(some, p)
		}
	}
	p, ok := nth(some, a.N)
	if !ok {
		return nil
	}
	if a.Do == "proposal:Withdraw" {
		return &resolved{args: []string{a.Do, p.id, "no more"}, model: func(time.Time) func() { return w.withdrawProposal(a.By, p) }}
	}
	hash := p.hash
	if a.Lie == "hash" { // that of another text
		if hash = noHash; len(some) > 1 {
			o, _ := nth(some, a.N+1)
			hash = o.hash
		}
	}
	return &resolved{args: []string{a.Do, p.id, hash, a.Text, ""}, model: func(at time.Time) func() {
		if hash != p.hash {
			return nil
		}
		done := w.ballot(a.By, p, a.Text == "yes", at)
		if done == nil {
			return nil
		}
		return func() { done() }
	}}
}

// submitting: N is how many critical findings; Text when it says it was made, and
// what makes it a piece of its own.
func (w *world) submitting(a act) *resolved {
	made := time.Time{}
	switch a.Lie {
	case "made before":
		made = w.now.Add(-3 * time.Hour).Truncate(time.Second)
	case "made later":
		made = w.now.Add(3 * time.Hour).Truncate(time.Second)
	}
	var findings []string
	for i := range a.N {
		findings = append(findings, fmt.Sprintf(`{"VulnerabilityID":"CVE-%d","Severity":"CRITICAL"}`, i))
	}
	created := ""
	if !made.IsZero() {
		created = fmt.Sprintf(`,"CreatedAt":%q`, made.Format(time.RFC3339))
	}
	text := fmt.Sprintf(`{"SchemaVersion":2,"ArtifactName":%q%s,"Results":[{"Class":"os-pkgs","Vulnerabilities":[%s]}]}`, a.Text, created, strings.Join(findings, ","))
	r := &resolved{
		args:      []string{a.Do, host, a.Repo, digest(a.Image), "vuln-scan", "plain", "", "", ""},
		transient: map[string][]byte{"envelope": []byte(text)},
	}
	r.model = func(at time.Time) func() {
		done := w.submit(a.By, place{a.Repo, a.Image}, a.N, made, at, text)
		if done == nil {
			return nil
		}
		return func() { done(r.field("id")) }
	}
	return r
}

func waivable() []string {
	return []string{"soak", "freeze", "max-age", "evidence/scan", "condition/calm", "witnesses", "approvals", "from"}
}

func (w *world) asking(a act) *resolved {
	image, about := -1, ""
	if a.Image >= 0 {
		image, about = a.Image, digest(a.Image)
	}
	rule, _ := nth(waivable(), a.N)
	lasts := map[string]time.Duration{"": 2 * time.Hour, "long": 40 * time.Hour, "too long": 500 * time.Hour, "short": 3 * time.Minute}[a.Lie]
	until := w.now.Add(lasts).Truncate(time.Second)
	x := waiver{repo: a.Repo, stage: a.Stage, rule: rule, image: image, reason: a.Text, until: until}
	r := &resolved{args: []string{a.Do, host, a.Repo, about, a.Stage, rule, a.Text, until.Format(time.RFC3339)}}
	r.model = func(at time.Time) func() {
		done := w.askWaiver(a.By, x, at)
		if done == nil {
			return nil
		}
		return func() { done(r.field("id")) }
	}
	return r
}

// approving signs what the approver's peer shows, or what it showed before, or
// something else.
func (w *world) approving(a act) *resolved {
	s := subject{a.Repo, a.Image, a.Stage}
	f := w.facts(s, w.now)
	if f.p == nil || f.stage == nil {
		return nil
	}
	set := w.shown(s, f)
	if set == nil {
		return nil
	}
	w.saws[s] = append(w.saws[s], *set)
	said := *set
	switch a.Lie {
	case "saw before":
		said, _ = nth(w.saws[s], a.N)
	case "attempt":
		said.attempt++
	case "hash":
		said.policy, said.hash = "another", noHash
	case "set":
		said.set, said.modelSet = noHash, "nothing"
	case "version":
		said.version++
	}
	args := []string{a.Do, host, a.Repo, digest(a.Image), a.Stage, strconv.Itoa(said.attempt), fmt.Sprintf("%s@%d", f.p.name, said.version), said.hash, said.set, "ok"}
	return &resolved{args: args, model: func(at time.Time) func() {
		return w.approve(a.By, s, approving{said.attempt, said.version, said.policy, said.modelSet}, at)
	}}
}

// shown is what a verdict shows to somebody who is about to approve.
func (w *world) shown(s subject, f *facts) *sawn {
	payload, err := w.ask(s)
	if err != nil {
		return nil
	}
	var v struct {
		Policy      struct{ Hash string }
		EvidenceSet string
	}
	if json.Unmarshal(payload, &v) != nil {
		return nil
	}
	hash, set := v.Policy.Hash, v.EvidenceSet
	if hash == "" {
		return nil
	}
	saw := f.seen()
	if set == "" {
		set, saw = noHash, "nothing"
	}
	attempt := 0
	if f.promo != nil {
		attempt = f.promo.attempt
	}
	return &sawn{attempt: attempt, version: f.p.version, hash: hash, set: set, policy: f.p.text, modelSet: saw}
}
