package evidence

import (
	"crypto"
	"slices"
	"sync"
)

// Signed is an envelope that a key signed.
type Signed struct {
	Key    Key
	Result Result
}

// Signers returns what Verify says by each of many keys that signed one
// envelope; the one that the envelope hints at is tried first. Which images the
// document names is looked at by Verify alone: r.Known is not asked. r.Format is not
// FormatPlain. Where none signed it, the error is one key's refusal: of an envelope
// that cannot be read every key says the same.
//
// The one signature of an envelope is of one key. Where that is the hinted one, other
// public keys are compared and not tried: their owners can say nothing by it. Without
// a hint all are tried, for somebody may know a second key under which another's
// signature verifies, and must not take its place.
func Signers(r Request, keys []*ParsedKey) ([]Signed, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	e, err := open(r)
	if err != nil {
		return nil, err
	}
	e.document = sync.OnceValues(e.document)
	hint := ""
	if len(keys) > 1 { // among fewer there is nothing to try first, and finding it reads the envelope again
		hint = KeyHint(r.Format, r.Envelope)
	}
	refusal, apt := invalid("no key is registered"), false // apt: of material that such a signature is verified with
	var all []Signed
	var by crypto.PublicKey // the hinted key, once the one signature verified
	for _, k := range likelyFirst(keys, hint) {
		if by != nil && k.Kind == PublicKey && !equalKeys(k.public, by) {
			continue
		}
		result, err := r.withFacts(e.verify(k))
		if err != nil {
			if told := e.signatures[0].certs == nil == (k.Kind == PublicKey); told || !apt {
				refusal, apt = err, told
			}
			continue
		}
		all = append(all, Signed{k.Key, result})
		if k.Kind == PublicKey && k.fingerprint == hint && len(e.signatures) == 1 {
			by = k.public
		}
	}
	if len(all) == 0 {
		return nil, refusal
	}
	return all, nil
}

// likelyFirst moves the keys with a fingerprint to the front.
func likelyFirst(keys []*ParsedKey, fingerprint string) []*ParsedKey {
	hinted := func(k *ParsedKey) bool { return k.fingerprint == fingerprint }
	if fingerprint == "" || !slices.ContainsFunc(keys, hinted) {
		return keys
	}
	first := make([]*ParsedKey, 0, len(keys))
	var rest []*ParsedKey
	for _, k := range keys {
		if hinted(k) {
			first = append(first, k)
		} else {
			rest = append(rest, k)
		}
	}
	return append(first, rest...)
}

func equalKeys(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// Bounds of a KeyCache: keys, and the bytes of their texts; a trusted root may have 64 KiB.
const (
	maxParsed      = 1 << 15
	maxParsedBytes = 64 << 20
)

// KeyCache parses each key once. It is safe for concurrent use; the zero value is empty.
type KeyCache struct {
	mutex  sync.Mutex
	parsed map[Key]*ParsedKey
	bytes  int // of the texts of parsed
}

// Parse is Key.Parse; a nil cache keeps nothing.
func (c *KeyCache) Parse(k Key) (*ParsedKey, error) {
	if c == nil {
		return k.Parse()
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if p := c.parsed[k]; p != nil {
		return p, nil
	}
	p, err := k.Parse()
	if err != nil {
		return nil, err
	}
	if c.parsed == nil || len(c.parsed) >= maxParsed || c.bytes >= maxParsedBytes {
		c.parsed, c.bytes = map[Key]*ParsedKey{}, 0
	}
	c.parsed[k] = p
	c.bytes += len(k.PEM) + len(k.Root)
	return p, nil
}
