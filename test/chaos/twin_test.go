package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

// twin is what a second gateway of the owner would be that does not share the
// first one's lanes: it records segments of its own about the same tags. Of two
// that are endorsed side by side the later one is invalid (MVCC), whosesoever it
// is, and has to be sent anew. Without it no transaction of a run would be invalid.
type twin struct {
	lab    *lab.Lab
	rng    *rand.Rand
	seq    uint64
	stands []check.Claim // in segments that are valid
	unsure []check.Claim // no answer: they may stand, and are not sent again
}

// twinEvents are the events of one segment.
const twinEvents = 6

// run records until over says so, one segment in every pace.
func (w *twin) run(ctx context.Context, over func() bool, pace time.Duration) error {
	for due := time.Now().Add(pace); !over(); due = due.Add(pace) {
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
		w.seq++
		segment, claims, err := w.segment()
		if err != nil {
			return err
		}
		if err := w.record(ctx, segment); err != nil {
			w.unsure = append(w.unsure, claims...)
		} else {
			w.stands = append(w.stands, claims...)
		}
	}
	return nil
}

func (w *twin) segment() ([]byte, []check.Claim, error) {
	var events []provenance.Event
	var claims []check.Claim
	for i := range twinEvents {
		name := fmt.Sprintf("twin-%d-%d", w.seq, i)
		e := provenance.Event{
			ID: provenance.NewEventID("distribution", "twin", name), Action: provenance.Push, Source: "distribution",
			Repository: provenance.Repository(fmt.Sprint("mirror/app", w.rng.IntN(mirrorRepos))), Tag: provenance.Tag(fmt.Sprint("t", w.rng.IntN(tags))),
			Digest: provenance.SHA256Of([]byte(name)), MediaType: manifestType, OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
		}
		events = append(events, e)
		claims = append(claims, check.Claim{ID: name, Key: check.Key(e.Action.String(), mirrorHost, string(e.Repository), string(e.Tag), e.Digest.String())})
	}
	b, err := provenance.EncodeSegment(events)
	return b, claims, err
}

// record runs the transaction, anew where it was invalid and only there.
func (w *twin) record(ctx context.Context, segment []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := w.lab.Dial(lab.Owner, "gateway")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing of it is kept
	sum := sha256.Sum256(segment)
	_, err = c.SubmitTransient(ctx, map[string][]byte{"segment": segment}, "record:Segment", mirrorHost, "twin", strconv.FormatUint(w.seq, 10), hex.EncodeToString(sum[:]))
	return err
}
