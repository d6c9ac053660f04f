// Package provision founds a consortium on a network that was just made: it
// makes the organisations members, gives their people the roles they are named
// after, and writes a gateway's first configuration.
package provision

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network"
)

// Admin is the person of every organisation who needs no grant.
const Admin = "admin"

// Acts submits one transaction and waits until it is in a block; *ledger.Client does.
type Acts interface {
	Submit(ctx context.Context, fn string, args ...string) (ledger.Result, error)
	io.Closer
}

// Roles returns who is granted what: each person of a fresh network has the
// role of their own name.
func Roles() []state.Role {
	return []state.Role{state.RoleGateway, state.RolePublisher, state.RoleScanner, state.RoleReleaseManager, state.RoleAuditor}
}

// Members founds the consortium with every organisation of the network, signed
// by the first one's admin, makes each a member, signed by its own, and grants its people their roles. Doing it again changes nothing, so
// a run that died half way is simply run again. Errors name the organisation
// and carry the ledger's code.
func Members(ctx context.Context, c network.Clients) error {
	return members(ctx, c, func(org network.Client) (Acts, error) { return Dial(c, org, Admin, nil) })
}

// Dial opens an organisation's own peer as one of its people, whose key is read from its file where none is
// given. It is Invalid for a person the organisation does not have.
func Dial(c network.Clients, org network.Client, name string, key crypto.PrivateKey) (*ledger.Client, error) {
	keys, ok := org.People[name]
	if !ok {
		return nil, provenance.Errorf(provenance.Invalid, "organisation %s has no %q", org.Org, name)
	}
	return ledger.Dial(ledger.Config{
		MSPID: org.MSPID, CertFile: keys.Cert, KeyFile: keys.Key, Key: key,
		PeerAddress: org.PeerAddress, PeerTLSCAFile: org.PeerTLSCA,
		Channel: c.Channel, Chaincode: c.Chaincode, After: ledger.AfterOf(c.After),
	})
}

func members(ctx context.Context, c network.Clients, dial func(network.Client) (Acts, error)) error {
	doors := make([]Acts, len(c.Orgs))
	defer func() {
		for _, d := range doors {
			if d != nil {
				_ = d.Close() // every transaction is final by now, or failed already
			}
		}
	}()
	if len(c.Orgs) == 0 {
		return nil
	}
	founders := make([]string, len(c.Orgs))
	for i, org := range c.Orgs {
		founders[i] = org.MSPID
	}
	list, err := json.Marshal(founders)
	if err != nil {
		return fmt.Errorf("founders: %w", err)
	}
	// One after the other: all joins write the one list of members, so together
	// all but one would have to be run again.
	for i, org := range c.Orgs {
		var err error
		if doors[i], err = dial(org); err != nil {
			return fmt.Errorf("reach the peer of %s: %w", org.Org, err)
		}
		if i == 0 {
			if err := insist(ctx, doors[i], "member:Found", string(list)); err != nil {
				return fmt.Errorf("found the consortium as %s: %w", org.Org, err)
			}
		}
		if err := insist(ctx, doors[i], "member:Join", displayName(org.Org)); err != nil {
			return fmt.Errorf("join %s: %w", org.Org, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, org := range c.Orgs {
		for _, role := range Roles() {
			if _, ok := org.People[string(role)]; !ok {
				continue
			}
			group.Go(func() error {
				if err := insist(ctx, doors[i], "member:Grant", string(role), string(role)); err != nil {
					return fmt.Errorf("grant %s to %s of %s: %w", role, role, org.Org, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// displayName is an organisation's name for people.
func displayName(org string) string {
	if org == "" {
		return org
	}
	return strings.ToUpper(org[:1]) + org[1:]
}
