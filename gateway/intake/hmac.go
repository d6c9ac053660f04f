package intake

import (
	"crypto/hmac"
	"encoding/hex"
	"hash"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TimestampHeader carries the seconds since 1970 at which a generic hook was
// signed.
const TimestampHeader = "X-Waybill-Timestamp"

const (
	// maxSignatures bounds how many signatures are tried for one request.
	maxSignatures = 4
	// maxSkew is how far a signed time may be from ours, either way.
	maxSkew = 5 * time.Minute
)

var timestampText = regexp.MustCompile(`^[1-9][0-9]{0,11}$`) // seconds; milliseconds would have 13 digits

// signature is how a kind of sender signs the bytes of its bodies with HMAC
// (RFC 2104) and one of the connector's secrets.
type signature struct {
	header string
	also   string // another header that may stand for it
	prefix string // before the hexadecimal code
	hash   func() hash.Hash
	// stamped: the code covers TimestampHeader, a '.' and the body, and the
	// time must be near ours. It is what stops a replay.
	stamped bool
}

// signed is what a request's headers say about its signature.
type signed struct {
	codes [][]byte
	stamp string
}

// read takes the signatures from the headers before any of the body is read: a
// stranger without even the form of one costs nothing. tooMany is a request
// that wants us to try more than maxSignatures.
func (g *signature) read(h http.Header, now time.Time) (got signed, ok, tooMany bool) {
	if g.stamped {
		stamps := h.Values(TimestampHeader)
		if len(stamps) != 1 || !timestampText.MatchString(stamps[0]) {
			return signed{}, false, false
		}
		seconds, err := strconv.ParseInt(stamps[0], 10, 64)
		if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > maxSkew {
			return signed{}, false, false
		}
		got.stamp = stamps[0]
	}
	n, size := 0, g.hash().Size()
	values := h.Values(g.header)
	if g.also != "" {
		values = slices.Concat(values, h.Values(g.also))
	}
	for _, v := range values {
		for text := range strings.SplitSeq(v, ",") { // a proxy may have joined two headers
			if n++; n > maxSignatures {
				return signed{}, false, true
			}
			text, found := strings.CutPrefix(strings.TrimSpace(text), g.prefix)
			if !found || len(text) != 2*size {
				continue
			}
			if code, err := hex.DecodeString(text); err == nil {
				got.codes = append(got.codes, code)
			}
		}
	}
	return got, len(got.codes) > 0, false
}

// verify tells whether one of the signatures was made with one of the secrets
// over these very bytes: a body that a proxy laid out anew fails.
func (g *signature) verify(secrets [][]byte, got signed, raw []byte) bool {
	m := g.begin(secrets, got.stamp)
	_, _ = m.Write(raw) // hashes do not fail
	return m.admit(got.codes)
}

// macs are the codes in the making, one for each secret, of bytes written to them.
type macs []hash.Hash

func (g *signature) begin(secrets [][]byte, stamp string) macs {
	out := make(macs, len(secrets))
	for i, secret := range secrets {
		out[i] = hmac.New(g.hash, secret)
		if g.stamped {
			out[i].Write([]byte(stamp + "."))
		}
	}
	return out
}

func (m macs) Write(b []byte) (int, error) {
	for _, one := range m {
		one.Write(b)
	}
	return len(b), nil
}

// admit tells whether one of the codes is one of the signatures.
func (m macs) admit(codes [][]byte) bool {
	found := false
	for _, one := range m {
		want := one.Sum(nil)
		for _, code := range codes {
			found = hmac.Equal(code, want) || found
		}
	}
	return found
}

func (g *signature) sum(secret []byte, stamp string, raw []byte) []byte {
	m := g.begin([][]byte{secret}, stamp)
	_, _ = m.Write(raw)
	return m[0].Sum(nil)
}
