package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// What comes of an event that is not recorded. Code of a kind says it with an
// error: ignore(reason) where nobody misses it, foreign(…) where the body is
// none of this kind's, and any other error where the event is the sender's and
// cannot be used. Such an event is kept on disk with the error as its reason,
// and answered like a recorded one: some senders repeat what was refused until
// the end of days, and send nothing else meanwhile.

// ignoredError ends the reading of an event that is acknowledged and not recorded.
type ignoredError struct{ reason string }

func (e ignoredError) Error() string { return "ignored: " + e.reason }

// ignore says that an event is not recorded, for one of the reasons above batch.
func ignore(reason string) error { return ignoredError{reason} }

// foreignError is Invalid, and more: whoever sent the body is no sender of this kind.
type foreignError struct{ error }

func (e foreignError) Unwrap() error { return e.error }

// foreign says that a readable body is not one of this kind of registry at all:
// it lacks what every one of them has. Of a request it is the final refusal,
// that its sender is told of; of one event among others it is ignored.
func foreign(text string, args ...any) error {
	return foreignError{provenance.Errorf(provenance.Invalid, text, args...)}
}

// marked looks at what every body of a kind has: with none of it the body is
// foreign, with some of it one of the kind's that cannot be used.
func marked(want string, marks ...bool) error {
	switch {
	case !slices.Contains(marks, false):
		return nil
	case !slices.Contains(marks, true):
		return foreign("body: want %s", want)
	}
	return provenance.Errorf(provenance.Invalid, "body: want %s", want)
}

func isForeign(err error) bool {
	var f foreignError
	return errors.As(err, &f)
}

// unusable is an event, or a whole body, that is kept as it came.
type unusable struct {
	raw    []byte
	reason string
	// sum and size are of all of it where raw is its beginning; size 0: raw is all.
	sum  [sha256.Size]byte
	size int64
}

// outcome notes what came of one event of an envelope: nothing for nil. m is
// the event's own (see message.part).
func (b *batch) outcome(m message, err error) {
	var ignored ignoredError
	switch {
	case err == nil:
	case errors.As(err, &ignored):
		b.ignored[ignored.reason]++
	case isForeign(err):
		b.ignored[ignoredForeign]++
	default:
		b.unusable = append(b.unusable, unusable{raw: m.text(), reason: textOf(err)})
	}
}

// part is the message of one event of an envelope: what is kept of it, where
// it cannot be used, are its own bytes.
func (m message) part(raw []byte) message {
	m.one = raw
	return m
}

// text is what the message is about: one event, or all there is.
func (m message) text() []byte {
	if m.one != nil {
		return m.one
	}
	return m.raw
}

// confidential finds texts that some senders put beside an event and that are
// good for something: GitLab's token of a person, addresses that confirm a
// subscription or change a page; and the address of whoever asked a registry,
// which no setting but PullsChannel would keep. A body may have been cut within one.
var confidential = regexp.MustCompile(`("(?:user|addr|callback_url|validation[cC]ode|validationUrl|Token|SubscribeURL|UnsubscribeURL)"\s*:\s*")(?:[^"\\]|\\.)*\\?("|$)`)

// understand reads the events of a body. A refusal is final: the request is
// not from a sender of this kind, or from one that the connector does not know.
func (h *Handler) understand(ctx context.Context, s *endpoint, m message, in payload) (batch, answer) {
	if in.tooLarge != "" {
		return batch{unusable: []unusable{{raw: in.raw, reason: in.tooLarge, sum: in.sum, size: in.size}}}, answer{}
	}
	b, err := s.format.parse(m)
	switch {
	case err == nil:
		return b, answer{}
	case isForeign(err), provenance.CodeOf(err) == provenance.Forbidden:
		h.config.Log.WarnContext(ctx, "notification refused", slog.String("connector", s.Name), slog.Any("error", err))
		if isForeign(err) {
			return batch{}, refuse(http.StatusBadRequest, provenance.Invalid, textOf(err))
		}
		return batch{}, refuse(http.StatusForbidden, provenance.Forbidden, textOf(err))
	}
	b = newBatch() // what was read of it before the error is in it as well
	b.outcome(m, err)
	return b, answer{}
}

// storeUnusable hands on what cannot be used, each in its bounded form.
func (h *Handler) storeUnusable(ctx context.Context, s *endpoint, m message, all []unusable) error {
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sinkTime)
	defer cancel()
	out := make([]delivery.Unusable, 0, len(all))
	for _, u := range all {
		if u.size == 0 {
			u.sum, u.size = sha256.Sum256(u.raw), int64(len(u.raw))
		}
		body := confidential.ReplaceAll(u.raw[:min(len(u.raw), delivery.MaxUnusable)], []byte(`${1}***${2}`))
		out = append(out, delivery.Unusable{
			Host: s.Host, Connector: s.Name, Reason: u.reason, Hash: u.sum, Size: u.size, ReceivedAt: m.now,
			Body: body[:min(len(body), delivery.MaxUnusable)],
		})
	}
	h.config.Log.WarnContext(ctx, "events that cannot be used; they are kept to be looked at", slog.String("connector", s.Name),
		slog.Int("events", len(out)), slog.String("reason", clipText(out[0].Reason)), slog.String("sha256", hex.EncodeToString(out[0].Hash[:])))
	return h.config.Sink.AcceptUnusable(ctx, out)
}
