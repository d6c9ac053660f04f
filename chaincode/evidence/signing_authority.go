package evidence

import "time"

// ofScheme keeps the two signing schemes of the Notary Project apart: whoever holds
// a certificate of an authority that certifies persons could pass for a signing
// authority otherwise, and choose the time.
func (s signature) ofScheme(k *ParsedKey) error {
	switch {
	case s.authority && k.Kind != SigningAuthority:
		return invalid("a signing authority made the signature, and %q is registered as a %s", k.Name, k.Kind)
	case !s.authority && k.Kind == SigningAuthority:
		return invalid("%q is registered as a %s, and none made the signature", k.Name, k.Kind)
	}
	return nil
}

// signedAt is when the certificates of a signature must be valid: at the time of the
// transaction, or at that which a signing authority vouches for.
func (s signature) signedAt(now time.Time) time.Time {
	if s.authority {
		return s.at
	}
	return now
}
