package proof

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// configuration is a channel's configuration, as far as proofs rest on it.
type configuration struct {
	block      uint64 // that it is in
	hash       []byte // of that block
	channel    string
	sequence   uint64
	consenters []consenter
	members    map[string]*authority // by MSP id: the organisations whose peers endorse
}

type consenter struct {
	id   uint64
	cert identity
	raw  []byte // the identity as the policy of blocks names it
	good bool   // the certificate is one of its organisation's, and not revoked
}

// quorum is how many of the consenters have to sign a block.
func (c *configuration) quorum() int { return quorum(len(c.consenters)) }

func quorum(n int) int {
	faulty := (n - 1) / 3
	return (n + faulty + 2) / 2 // ⌈(n+f+1)/2⌉
}

// parseConfiguration reads the configuration that a block holds.
func parseConfiguration(k *block) (*configuration, error) {
	if !k.configuresIt {
		return nil, fmt.Errorf("block %d holds no configuration", k.number)
	}
	envelope, _ := parse("common.Envelope", k.data[0]) // parseBlock read both
	p, _ := parsePayload(envelope.one(1))
	e, err := parse("common.ConfigEnvelope", p.data)
	if err != nil {
		return nil, err
	}
	f, err := parse("common.Config", e.one(1))
	if err != nil {
		return nil, err
	}
	c := &configuration{block: k.number, hash: k.hash(), channel: p.channel, sequence: f.numbers[1]}
	if err := c.readGroups(f.one(2)); err != nil {
		return nil, fmt.Errorf("configuration of block %d: %w", k.number, err)
	}
	return c, nil
}

// group is a common.ConfigGroup.
type group struct {
	groups, values, policies map[string][]byte
}

func parseGroup(b []byte) (g group, err error) {
	f, err := parse("common.ConfigGroup", b)
	if err != nil {
		return g, err
	}
	for field, into := range map[int]*map[string][]byte{2: &g.groups, 3: &g.values, 4: &g.policies} {
		if *into, err = parseMap(f.all(field)); err != nil {
			return g, err
		}
	}
	return g, nil
}

// parseMap reads a map; a name twice is an error.
func parseMap(list [][]byte) (map[string][]byte, error) {
	m := map[string][]byte{}
	for _, entry := range list {
		f, err := parse("map", entry)
		if err != nil {
			return nil, err
		}
		if _, twice := m[f.text(1)]; twice {
			return nil, fmt.Errorf("%q is there twice", f.text(1))
		}
		m[f.text(1)] = f.one(2)
	}
	return m, nil
}

// value is a common.ConfigValue's value; an error where it is not there.
func (g group) value(name string) ([]byte, error) {
	raw, there := g.values[name]
	if !there {
		return nil, fmt.Errorf("it has no %s", name)
	}
	f, err := parse("common.ConfigValue", raw)
	return f.one(2), err
}

func (g group) below(name string) (group, error) {
	raw, there := g.groups[name]
	if !there {
		return group{}, fmt.Errorf("it has no group %s", name)
	}
	return parseGroup(raw)
}

func (c *configuration) readGroups(b []byte) error {
	channel, err := parseGroup(b)
	if err != nil {
		return err
	}
	orderer, err := channel.below("Orderer")
	if err != nil {
		return err
	}
	application, err := channel.below("Application")
	if err != nil {
		return err
	}
	if c.members, err = authorities(application); err != nil {
		return err
	}
	ordering, err := authorities(orderer)
	if err != nil {
		return err
	}
	raw, err := orderer.value("ConsensusType")
	if err != nil {
		return err
	}
	consensus, err := parse("orderer.ConsensusType", raw)
	if err != nil {
		return err
	}
	if kind := consensus.text(1); kind != "BFT" {
		return fmt.Errorf("orderers of type %q, which sign alone: %w", kind, errUnknown)
	}
	if err := c.readConsenters(orderer, ordering); err != nil {
		return err
	}
	return c.checkPolicy(orderer)
}

// authorities are those of the organisations in a group.
func authorities(g group) (map[string]*authority, error) {
	all := map[string]*authority{}
	for name, raw := range g.groups {
		org, err := parseGroup(raw)
		if err != nil {
			return nil, err
		}
		value, err := org.value("MSP")
		if err != nil {
			return nil, fmt.Errorf("organisation %s: %w", name, err)
		}
		a, err := parseAuthority(value)
		if err != nil {
			return nil, fmt.Errorf("organisation %s: %w", name, err)
		}
		if _, twice := all[a.msp]; twice || a.msp == "" {
			return nil, fmt.Errorf("MSP %q is of two organisations, or has no id", a.msp)
		}
		all[a.msp] = a
	}
	return all, nil
}

// readConsenters reads who orders. Two that are the same by id or by certificate are an error: one would count twice.
func (c *configuration) readConsenters(orderer group, ordering map[string]*authority) error {
	raw, err := orderer.value("Orderers")
	if err != nil {
		return err
	}
	list, err := parse("common.Orderers", raw)
	if err != nil {
		return err
	}
	for _, entry := range list.all(1) {
		f, err := parse("common.Consenter", entry)
		if err != nil {
			return err
		}
		one := consenter{id: f.numbers[1], raw: message{}.bytes(1, f.one(4)).bytes(2, f.one(5))}
		if one.cert, err = parseIdentity(one.raw); err != nil {
			return fmt.Errorf("consenter %d: %w", one.id, err)
		}
		if slices.ContainsFunc(c.consenters, func(o consenter) bool { return o.id == one.id || o.cert.cert.Equal(one.cert.cert) }) {
			return fmt.Errorf("consenter %d is there twice", one.id)
		}
		a := ordering[one.cert.msp]
		if a == nil {
			return fmt.Errorf("consenter %d is of no organisation that orders", one.id)
		}
		// As orderers have it: that a certificate ended changes nothing, that it is revoked does.
		_, err = a.check(one.cert.cert, one.cert.cert.NotBefore.Add(time.Second))
		one.good = err == nil
		c.consenters = append(c.consenters, one)
	}
	if len(c.consenters) == 0 {
		return errors.New("it has no consenters")
	}
	return nil
}

// checkPolicy tells whether the policy of blocks is the one that the consenters imply: a quorum of exactly
// their certificates. With another, fewer would do.
func (c *configuration) checkPolicy(orderer group) error {
	raw, there := orderer.policies["BlockValidation"]
	if !there {
		return errors.New("it has no policy of blocks")
	}
	f, err := parse("common.ConfigPolicy", raw)
	if err != nil {
		return err
	}
	var rules, principals [][]byte
	for i, one := range c.consenters {
		// Number 0 is written too: it is one of a choice.
		rules = append(rules, append([]byte{1 << 3}, varintOf(uint64(i))...)) //nolint:gosec // G115: a list's length
		principals = append(principals, message{}.number(1, 2).bytes(2, one.raw))
	}
	several := message{}.number(1, uint64(c.quorum())).parts(2, rules) //nolint:gosec // G115: positive
	want := message{}.number(1, 1).bytes(2, message{}.part(2, message{}.part(2, several)).parts(3, principals))
	if !bytes.Equal(f.one(2), want) {
		return fmt.Errorf("its policy of blocks is not a quorum of exactly its consenters: %w", errUnknown)
	}
	return nil
}

// verify tells whether exactly a quorum of the consenters signed a block, each once.
func (c *configuration) verify(k *block) error {
	if len(k.signatures) != c.quorum() {
		return fmt.Errorf("block %d has %d signatures of orderers: want exactly %d of %d", k.number, len(k.signatures), c.quorum(), len(c.consenters))
	}
	header := k.der()
	for i, s := range k.signatures {
		if i > 0 && s.consenter <= k.signatures[i-1].consenter {
			return fmt.Errorf("block %d: consenter %d again, or out of order", k.number, s.consenter)
		}
		if err := c.signedBy(k, s, header); err != nil {
			return fmt.Errorf("block %d: %w", k.number, err)
		}
	}
	return nil
}

func (c *configuration) signedBy(k *block, s blockSignature, header []byte) error {
	at := slices.IndexFunc(c.consenters, func(o consenter) bool { return o.id == s.consenter })
	if at < 0 || !c.consenters[at].good {
		return fmt.Errorf("consenter %d: there is none, or its certificate is not one of its organisation's", s.consenter)
	}
	if err := verify(c.consenters[at].cert.cert, s.signature, k.signed, s.header, header); err != nil {
		return fmt.Errorf("consenter %d: %w", s.consenter, err)
	}
	return nil
}
