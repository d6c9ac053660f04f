package policy

import (
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// candidate is what one signer says under one rule.
type candidate struct {
	by     identity
	own    bool        // about the image itself, not about an index that holds it
	pieces []*Evidence // the newest about each subject, withdrawn ones too; one where it is the image's own
	lost   bool        // of a moment of which what the signer said is no longer kept
}

// accepted returns the pieces that a rule's type and signers accept, in the
// order of the facts.
func (j *judge) accepted(i int) []*Evidence {
	if j.accepts[i] != nil {
		return j.accepts[i]
	}
	found := make([]*Evidence, 0, 4)
	for k := range j.f.Evidence {
		if e := &j.f.Evidence[k]; e.Type == j.stage.Evidence[i].Type && j.acceptsSigner(i, e.Signer) {
			found = append(found, e)
		}
	}
	j.accepts[i] = found
	return found
}

func (j *judge) acceptsSigner(i int, s Signer) bool {
	for k, r := range j.stage.Evidence[i].Signers {
		if r.accepts(s, j.programs.signers[i][k]) {
			return true
		}
	}
	return false
}

// counted tells whether an expression that counts signers counts this one. Where an
// issuer vouches for a name, or no organisation answers for it, anybody can be one: only
// whom a rule of the stage names counts.
func (j *judge) counted(e *Evidence) bool {
	if e.Signer.Kind != SignedByCertificate || e.Signer.Issuer == "" && e.Signer.MSP != "" {
		return true
	}
	for i := range j.stage.Evidence {
		if j.stage.Evidence[i].Type == e.Type && j.acceptsSigner(i, e.Signer) {
			return true
		}
	}
	return false
}

// subject is what a piece is about.
func (j *judge) subject(e *Evidence) provenance.Digest {
	if e.On.IsZero() {
		return j.f.Digest
	}
	return e.On
}

// isWithdrawn tells whether a piece is withdrawn.
func (j *judge) isWithdrawn(e *Evidence) bool {
	return !e.Withdrawn.IsZero() && (!j.then || !e.Withdrawn.After(j.now))
}

// candidates sorts the accepted evidence by signer, in order of first
// appearance. What a signer says about the image itself is what it says: its
// words about an index that holds the image count only where it has none of
// its own. Of each subject the newest piece decides, and where that one was
// withdrawn none does: no older one comes back.
func (j *judge) candidates(i int) []candidate {
	found := make([]candidate, 0, 4)
	for _, e := range j.accepted(i) {
		early := j.then && e.At.After(j.now) // not yet said
		if !j.then && e.Superseded || early && !e.Cut {
			continue
		}
		by := identityOf(e.Signer)
		n := slices.IndexFunc(found, func(w candidate) bool { return w.by == by })
		if n < 0 {
			n = len(found)
			found = append(found, candidate{by: by})
		}
		w := &found[n]
		if early {
			w.lost = true
			continue
		}
		on := j.subject(e)
		switch own := on == j.f.Digest; {
		case w.own && !own:
			continue
		case own && !w.own:
			w.own, w.pieces = true, w.pieces[:0]
		}
		if k := slices.IndexFunc(w.pieces, func(o *Evidence) bool { return j.subject(o) == on }); k < 0 {
			w.pieces = append(w.pieces, e)
		} else if newer(e, w.pieces[k]) {
			w.pieces[k] = e
		}
	}
	return found
}

// newer tells whether a is the newer word of one signer about one subject.
func newer(a, b *Evidence) bool {
	switch {
	case a.Superseded != b.Superseded:
		return b.Superseded
	case !a.At.Equal(b.At):
		return a.At.After(b.At)
	}
	return a.ID > b.ID
}

// ageProblem says why a piece is too old, or too new, for a rule with maxAge, or "".
func (j *judge) ageProblem(rule *EvidenceRule, e *Evidence) string {
	if rule.MaxAge == 0 {
		return ""
	}
	switch until := e.At.Add(time.Duration(rule.MaxAge)); {
	case !j.now.Before(until):
		return "too old since " + stamp(until)
	case e.At.After(j.now.Add(ClockGrace)):
		return "dated in the future: " + stamp(e.At)
	}
	return ""
}
