package cert

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/disk"
)

// keepRevoked brings the folder's revocation lists up to those that the channel has of this organisation. A folder that
// was restored from a backup has older ones: what is put to the vote from it would let people in again whose certificates
// were taken back.
//
// Nothing is lost in between: the file is replaced whole, and what the channel has is in force whatever the file says.
func (f *Folder) keepRevoked(channel Channel, o Options) error {
	at := slices.IndexFunc(channel.Members, func(m Member) bool { return m.MSPID == o.MSPID })
	if o.MSPID == "" || at < 0 {
		return nil // not a member yet: the channel has none of its lists
	}
	have, err := f.RevocationLists()
	if err != nil {
		return err
	}
	theirs := parseLists(channel.Members[at].Lists)
	authorities, err := f.chain(Enrolment)
	if err != nil {
		return err
	}
	var all [][]byte
	for _, a := range authorities {
		list, err := f.lastList(a, parseLists(have), theirs, o.Now())
		if err != nil {
			return err
		}
		if list != nil {
			all = append(all, list)
		}
		theirs = slices.DeleteFunc(theirs, func(l *x509.RevocationList) bool { return l.CheckSignatureFrom(a) == nil })
	}
	if len(theirs) > 0 {
		return provenance.Errorf(provenance.Conflict, "the channel has a revocation list of %s, an authority that is not in this folder: the folder is older than the channel knows it; restore a newer backup", theirs[0].Issuer)
	}
	if slices.EqualFunc(all, have, bytes.Equal) {
		return nil
	}
	o.Step("taking over from the channel what this folder's revocation list does not have")
	return f.writeLists(all)
}

// askRevoked is keepRevoked of the channel as it is now.
func (f *Folder) askRevoked(ctx context.Context, o Options) error {
	channel, err := o.Channel(ctx)
	if err != nil {
		return fmt.Errorf("ask for the channel's revocation lists, which may have more than this folder's: %w", err)
	}
	return f.keepRevoked(channel, o)
}

// lastList is an authority's list that has whatever the folder's and the channel's have; nil where there is none. Two of
// which neither has all that the other has are signed anew where the key is here; elsewhere the one that was signed last
// is what the organisation's own PKI says.
func (f *Folder) lastList(a *x509.Certificate, ours, theirs []*x509.RevocationList, now time.Time) ([]byte, error) {
	by := func(lists []*x509.RevocationList) *x509.RevocationList {
		var last *x509.RevocationList
		for _, l := range lists {
			if l.CheckSignatureFrom(a) == nil && (last == nil || later(l, last)) {
				last = l
			}
		}
		return last
	}
	own, known := by(ours), by(theirs)
	switch {
	case own == nil && known == nil:
		return nil, nil
	case known == nil || own != nil && covers(own, known):
		return encodeList(own.Raw), nil
	case own == nil || covers(known, own):
		return encodeList(known.Raw), nil
	}
	s, found, err := f.signerOf(a)
	if err != nil {
		return nil, err
	}
	if !found {
		if later(own, known) {
			return encodeList(own.Raw), nil
		}
		return encodeList(known.Raw), nil
	}
	list, _ := listOf(s, [][]byte{encodeList(own.Raw), encodeList(known.Raw)}, now)
	der, err := x509.CreateRevocationList(rand.Reader, list, s.cert, s.key)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	return encodeList(der), nil
}

// signerOf finds an authority's key among those that are here.
func (f *Folder) signerOf(a *x509.Certificate) (s signer, found bool, err error) {
	now, err := f.signer(Enrolment)
	if errors.Is(err, errElsewhere) {
		return signer{}, false, nil
	}
	if err != nil {
		return signer{}, false, err
	}
	for _, s := range append([]signer{now}, f.before(now)...) {
		if s.cert.Equal(a) {
			return s, true, nil
		}
	}
	return signer{}, false, nil
}

// covers says whether whatever b names is named by a.
func covers(a, b *x509.RevocationList) bool {
	return !slices.ContainsFunc(b.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return !listed(a, &x509.Certificate{SerialNumber: e.SerialNumber})
	})
}

// later says whether a was signed after b.
func later(a, b *x509.RevocationList) bool {
	if a.Number != nil && b.Number != nil && a.Number.Cmp(b.Number) != 0 {
		return a.Number.Cmp(b.Number) > 0
	}
	return a.ThisUpdate.After(b.ThisUpdate)
}

// writeLists replaces the organisation's lists; none removes the file.
func (f *Folder) writeLists(lists [][]byte) error {
	if len(lists) > 0 {
		return disk.Write(f.listPath(), bytes.Join(lists, nil), 0o644)
	}
	if err := os.Remove(f.listPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
