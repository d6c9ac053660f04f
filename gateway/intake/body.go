package intake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// How far a body that is too large to be used is read, to be hashed and
// forgotten but for its beginning. A manifest of 4 MiB makes an event of some
// 40 MiB at the very worst (a list of empty texts, laid out in lines). One that
// is signed is read for a stranger as well, to its end or not at all; GitHub's
// are 25 MiB at most.
const (
	maxHashed = 64 << 20
	maxSigned = 32 << 20
)

// maxTypes is how many media types of one request are looked at.
const maxTypes = 8

// payload is a request's body, its sender known.
type payload struct {
	raw []byte // all of it; of one that is too large, what is kept
	// tooLarge says why it cannot be used; sum and size are then of all that was read.
	tooLarge string
	sum      [sha256.Size]byte
	size     int64
}

// mediaType finds the first of the media types that a kind sends. Some senders
// and proxies repeat the header; what else it says then does not matter.
func (s *endpoint) mediaType(h http.Header) (string, bool) {
	n := 0
	for _, v := range h.Values("Content-Type") {
		for text := range strings.SplitSeq(v, ",") {
			if n++; n > maxTypes {
				return "", false
			}
			if mediaType, _, err := mime.ParseMediaType(text); err == nil && s.format.types(mediaType) {
				return mediaType, true
			}
		}
	}
	return "", false
}

// limit is how large a body may be.
func (h *Handler) limit(s *endpoint) int64 {
	if s.format.wide && h.config.MaxBody < math.MaxInt64/wideBody {
		return h.config.MaxBody * wideBody
	}
	return h.config.MaxBody
}

// budget is how much the bodies of one connector may weigh together: what its
// places would hold if each body were as large as an ordinary one may be.
func (h *Handler) budget(limit int64) int64 {
	if n := int64(h.config.Concurrency); h.config.MaxBody < math.MaxInt64/n {
		return max(h.config.MaxBody*n, limit)
	}
	return math.MaxInt64
}

// receive reads the body, within its limits of size and time, and proves what
// is claimed with it. Of a body that is too large it keeps the beginning: a
// refusal would be repeated for ever by some, and hold up all that follows it.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, s *endpoint, claimed signed, limit int64) (payload, answer) {
	// Not every ResponseWriter has deadlines (tests); the server's own timeouts then hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	first := limit + 1
	if r.ContentLength > limit {
		first = min(first, delivery.MaxUnusable)
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, first))
	in := payload{raw: raw}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return in, refuse(http.StatusRequestTimeout, provenance.Unavailable, "the body took too long")
	case err != nil:
		return in, refuse(http.StatusBadRequest, provenance.Invalid, "the body could not be read to its end")
	case int64(len(raw)) == first:
		var refused answer
		if in, refused = h.overflow(w, r, s, claimed, raw); refused.status != 0 {
			return in, refused
		}
		in.tooLarge = fmt.Sprintf("%s; %d are read", in.tooLarge, limit)
	case s.format.sign != nil && !s.format.sign.verify(s.Secrets, claimed, raw):
		return in, h.unauthorized(w, r, s)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return in, answer{}
}

// overflow hashes a body that is too large, of which the beginning was read.
// A sender who is known already is not asked to bring it to its end: nothing
// that follows could make it usable.
func (h *Handler) overflow(w http.ResponseWriter, r *http.Request, s *endpoint, claimed signed, begun []byte) (payload, answer) {
	sum, most := sha256.New(), int64(maxHashed)
	var codes macs
	into := io.Writer(sum)
	if s.format.sign != nil {
		most = maxSigned
		codes = s.format.sign.begin(s.Secrets, claimed.stamp)
		into = io.MultiWriter(sum, codes)
	}
	n, err := io.Copy(into, io.MultiReader(bytes.NewReader(begun), io.LimitReader(r.Body, most-int64(len(begun)))))
	whole := err == nil && (n < most || r.ContentLength == n)
	switch {
	case s.format.sign != nil && n >= most:
		return payload{}, refuse(http.StatusRequestEntityTooLarge, provenance.Invalid, "the body is larger than this gateway reads to verify its signature")
	case err != nil && (s.format.sign != nil || !errors.Is(err, os.ErrDeadlineExceeded)):
		return payload{}, refuse(http.StatusRequestTimeout, provenance.Unavailable, "the body took too long, or broke off")
	case s.format.sign != nil && !codes.admit(claimed.codes):
		return payload{}, h.unauthorized(w, r, s)
	}
	in := payload{raw: bytes.Clone(begun[:min(len(begun), delivery.MaxUnusable)]), size: n, tooLarge: fmt.Sprintf("the body has %d bytes", n)}
	if !whole {
		in.tooLarge = fmt.Sprintf("the body has %d bytes and more", n)
		w.Header().Set("Connection", "close") // the rest is not waited for
	}
	sum.Sum(in.sum[:0])
	return in, answer{}
}
