package collect

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// trusted lists the keys and trusted roots of members, and the roots that they share, as
// far as they were not withdrawn. A member of which not every key is tried is named in
// the log, once, and counted.
func (c *Collector) trusted(ctx context.Context, r state.Scanner, version uint64) ([]*evidence.ParsedKey, error) {
	members, err := state.LoadMembers(r)
	if err != nil || c.TrustVersion == nil {
		return c.readTrusted(ctx, r, members, err)
	}
	c.trust.mu.Lock()
	defer c.trust.mu.Unlock()
	if c.trust.keys != nil && c.trust.version == version && slices.Equal(c.trust.members, members.MSPs) {
		return c.trust.keys, nil
	}
	keys, err := c.readTrusted(ctx, r, members, nil)
	if err == nil {
		c.trust.keys, c.trust.version, c.trust.members = keys, version, members.MSPs
	}
	return keys, err
}

// kept is the trust material as it was read last.
type kept struct {
	mu      sync.Mutex
	version uint64
	members []string
	keys    []*evidence.ParsedKey
}

func (c *Collector) readTrusted(ctx context.Context, r state.Scanner, members state.Members, err error) ([]*evidence.ParsedKey, error) {
	if err != nil {
		return nil, err
	}
	most := c.keysOf
	if most == 0 {
		most = maxKeys
	}
	var keys []*evidence.ParsedKey
	for _, msp := range members.MSPs {
		entries, err := r.Scan(most+1, state.TypeKey, msp)
		if err != nil {
			return nil, err
		}
		if len(entries) > most {
			entries = entries[:most]
			c.Count("keys-left-out")
			if _, known := c.told.LoadOrStore(msp, true); !known {
				c.Log.WarnContext(ctx, "not every key of a member is tried: what the others signed is not found", slog.String("member", msp), slog.Int("tried", most))
			}
		}
		for _, e := range entries {
			var k state.TrustKey
			if err := state.Decode(e.Value, &k); err != nil {
				return nil, err
			}
			if k.Withdrawn != nil {
				continue
			}
			parsed, err := c.parsed.Parse(evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM, NotBefore: k.NotBefore, NotAfter: k.NotAfter})
			if err != nil {
				return nil, provenance.Wrap(provenance.Internal, err, "key %s of %s on the ledger", k.Name, k.MSP)
			}
			keys = append(keys, parsed)
		}
	}
	for _, msp := range append(slices.Clone(members.MSPs), "") {
		roots, err := c.roots(r, msp)
		if err != nil {
			return nil, err
		}
		keys = append(keys, roots...)
	}
	return keys, nil
}

// roots lists an organisation's own trusted roots, or with msp "" the shared ones.
func (c *Collector) roots(r state.Reader, msp string) ([]*evidence.ParsedKey, error) {
	var list state.RootList
	if _, err := state.Read(r, state.RootListKey(msp), &list); err != nil {
		return nil, err
	}
	var roots []*evidence.ParsedKey
	for _, name := range list.Names {
		var root state.TrustedRoot
		if _, err := state.Read(r, state.TrustedRootKey(msp, name), &root); err != nil {
			return nil, err
		}
		if root.Withdrawn != nil {
			continue
		}
		var v state.RootVersion
		found, err := state.Read(r, state.RootVersionKey(msp, name, root.Version), &v)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, provenance.Errorf(provenance.Internal, "%s version %d is in force but not on the ledger", &root, root.Version)
		}
		parsed, err := c.parsed.Parse(evidence.Key{MSP: msp, Name: name, Kind: evidence.TrustedRoot, Root: v.Text})
		if err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "%s on the ledger", &root)
		}
		roots = append(roots, parsed)
	}
	return roots, nil
}

// missing is under which types a signed document is yet to go onto the ledger: "" is the
// one that was signed. A custom one of which a shared root vouches for the signer is
// nobody's: it goes under the schema of each member that has one of its name.
func (c *Collector) missing(ctx context.Context, subject provenance.Digest, s evidence.Signed) (types []string, err error) {
	signer := policy.Signer{Kind: policy.SignedByKey, MSP: s.Key.MSP, Key: s.Key.Name, Identity: s.Result.Identity, Issuer: s.Result.Issuer}
	if signer.Identity != "" {
		signer.Kind = policy.SignedByCertificate
	}
	err = c.View(ctx, func(r state.Scanner) error {
		types = nil
		all, err := ledgerTypes(r, s)
		if err != nil {
			return err
		}
		for _, typ := range all {
			found, err := state.Read(r, state.FirstPieceKey(subject, typ, signer, s.Result.Signature), new(state.FirstPiece))
			if err != nil {
				return err
			}
			if found {
				continue
			}
			if s.Key.MSP != "" {
				typ = ""
			}
			types = append(types, typ)
		}
		return nil
	})
	return types, err
}

// ledgerTypes is what the ledger calls the type of a signed document, or with a shared
// root the types.
func ledgerTypes(r state.Reader, s evidence.Signed) ([]string, error) {
	name, custom := strings.CutPrefix(s.Result.Type, evidence.CustomPrefix)
	switch {
	case !custom:
		return []string{s.Result.Type}, nil
	case s.Key.MSP != "":
		return []string{evidence.CustomPrefix + s.Key.MSP + "/" + name}, nil
	}
	members, err := state.LoadMembers(r)
	if err != nil {
		return nil, err
	}
	var types []string
	for _, msp := range members.MSPs {
		found, err := state.Read(r, state.SchemaKey(msp, name), new(state.Schema))
		if err != nil {
			return nil, err
		}
		if found {
			types = append(types, evidence.CustomPrefix+msp+"/"+name)
		}
	}
	if len(types) == 0 {
		return nil, &tasks.FinalError{For: tasks.ForKey, Cause: provenance.Errorf(provenance.BadEvidence, "no member registered a schema %q for what it says", name)}
	}
	return types, nil
}

// lacksSchema tells whether a type is a custom one that an organisation registered no schema for.
func (c *Collector) lacksSchema(ctx context.Context, msp, typ string) bool {
	name, custom := strings.CutPrefix(typ, evidence.CustomPrefix)
	if !custom {
		return false
	}
	found := false
	err := c.View(ctx, func(r state.Scanner) (err error) {
		found, err = state.Read(r, state.SchemaKey(msp, name), new(state.Schema))
		return err
	})
	return err == nil && !found
}
