package contract

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// KeptClients is what an organisation keeps of a segment's pulls.
type KeptClients struct {
	Clients []byte `json:"clients"` // provenance.EncodeClients
}

// privateCollection is the caller's organisation's own: Fabric gives every
// organisation one without configuration, its peers alone store what is in it,
// and its endorsement alone is asked for a transaction that writes nothing else
// (fabric core/common/validation/statebased, core/chaincode/lifecycle).
func privateCollection(tx *Tx) string { return "_implicit_org_" + tx.caller.MSP }

// Clients keeps the clients of a recorded segment, sent in the transient field
// "clients", in the caller's organisation's private data collection. They must
// be what the segment's hashes were made of: nobody can later show others. The
// same again is success without a write, and so is anything once they are
// purged: a gateway that crashed, or whose queue is an old copy, may bring them
// again. Others under a known name are a Conflict.
//
// It writes nothing but private data. Whoever sends it must have it endorsed by
// its own organisation's peers alone: every endorser sees the transient map.
func (RecordContract) Clients(tx *Tx, host, lane, seq string) (string, error) {
	own, err := ownSegment(tx, host, lane, seq)
	if err != nil {
		return "", err
	}
	clients, err := tx.transient("clients")
	if err != nil {
		return "", err
	}
	c, err := provenance.DecodeClients(clients)
	if err != nil {
		return "", err
	}
	events, err := provenance.DecodeSegment(own.segment)
	if err != nil {
		return "", err
	}
	if err := c.Check(events); err != nil {
		return "", err
	}
	purged, err := keptHash(tx, own.purged)
	if err != nil {
		return "", err
	}
	if len(purged) > 0 {
		return answer(Recorded{Events: len(c.Of), Known: true}, nil)
	}
	old, err := keptHash(tx, own.clients)
	if err != nil {
		return "", err
	}
	if len(old) > 0 {
		if sum := sha256.Sum256(clients); bytes.Equal(old, sum[:]) {
			return answer(Recorded{Events: len(c.Of), Known: true}, nil)
		}
		return "", provenance.Errorf(provenance.Conflict, "other clients of segment %s/%s are kept already", lane, seq)
	}
	if err := tx.GetStub().PutPrivateData(privateCollection(tx), own.clients, clients); err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "keep clients of segment %s/%s", lane, seq)
	}
	return answer(Recorded{Events: len(c.Of)}, nil)
}

// keptHash is the hash of what the caller's organisation keeps under a key: it,
// unlike the value, is there even where the peer missed the private data.
func keptHash(tx *Tx, key string) ([]byte, error) {
	hash, err := tx.GetStub().GetPrivateDataHash(privateCollection(tx), key)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "read the hash of %s", strings.ReplaceAll(key, "\x00", "/"))
	}
	return hash, nil
}

// ReadClients returns the clients of a segment that the caller's organisation
// keeps. It answers on that organisation's peers only: others hold nothing but
// a hash. NotFound: they were never kept, not yet, or are purged.
func (RecordContract) ReadClients(tx *Tx, host, lane, seq string) (string, error) {
	own, err := ownSegment(tx, host, lane, seq)
	if err != nil {
		return "", err
	}
	b, err := tx.GetStub().GetPrivateData(privateCollection(tx), own.clients)
	if err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "read clients of segment %s/%s", lane, seq)
	}
	if len(b) == 0 {
		return "", provenance.Errorf(provenance.NotFound, "no clients of segment %s/%s are kept", lane, seq)
	}
	return answer(KeptClients{Clients: b}, nil)
}

// PurgeClients removes the clients of a segment from every peer of the caller's
// organisation, their history included, and they are never kept again. What is
// on the channel stays: without the salt, which goes with them, its hashes say nothing.
func (RecordContract) PurgeClients(tx *Tx, host, lane, seq string) (string, error) {
	own, err := ownSegment(tx, host, lane, seq)
	if err != nil {
		return "", err
	}
	purged, err := keptHash(tx, own.purged)
	if err != nil {
		return "", err
	}
	if len(purged) > 0 {
		return answer(Recorded{Known: true}, nil)
	}
	old, err := keptHash(tx, own.clients)
	if err != nil {
		return "", err
	}
	if len(old) > 0 {
		if err := tx.GetStub().PurgePrivateData(privateCollection(tx), own.clients); err != nil {
			return "", provenance.Wrap(provenance.Internal, err, "purge clients of segment %s/%s", lane, seq)
		}
	}
	if err := tx.GetStub().PutPrivateData(privateCollection(tx), own.purged, []byte(state.TypePurged)); err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "purge clients of segment %s/%s", lane, seq)
	}
	return answer(Recorded{}, nil)
}

// ownedSegment is a recorded segment of a registry that the caller's
// organisation owns, and the keys of what it keeps of it.
type ownedSegment struct {
	segment         []byte
	clients, purged string
}

func ownSegment(tx *Tx, host, lane, seq string) (ownedSegment, error) {
	h, err := provenance.ParseHost(host)
	if err != nil {
		return ownedSegment{}, err
	}
	number, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || !laneName.MatchString(lane) {
		return ownedSegment{}, provenance.Errorf(provenance.Invalid, "segment %s/%s: want a lane name and a number", clip(lane), clip(seq))
	}
	values, err := tx.Get(state.RegistryKey(h), state.SegmentKey(h, tx.caller.MSP, lane, number))
	if err != nil {
		return ownedSegment{}, err
	}
	if _, err := owns(tx, h, values[0]); err != nil {
		return ownedSegment{}, err
	}
	if values[1] == nil {
		return ownedSegment{}, provenance.Errorf(provenance.NotFound, "segment %s/%s of %s is not on the ledger", lane, seq, h)
	}
	var recorded state.Segment
	if err := state.Decode(values[1], &recorded); err != nil {
		return ownedSegment{}, err
	}
	segment, err := tx.Get(recorded.Journal)
	if err != nil {
		return ownedSegment{}, err
	}
	return ownedSegment{segment: segment[0], clients: state.ClientsKey(h, lane, number), purged: state.PurgedKey(h, lane, number)}, nil
}
