package contract

import (
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// QuarantineContract keeps images that nobody may run. Each organisation holds
// and lifts its own; an image is free when no organisation holds it.
type QuarantineContract struct{ contractapi.Contract }

// Set quarantines an image in every repository and stage. The image need not
// be recorded: a warning may come before the push.
func (QuarantineContract) Set(tx *Tx, digest, reason string) (string, error) {
	return hold(tx, digest, reason, false)
}

// Lift ends the caller's organisation's quarantine of an image.
func (QuarantineContract) Lift(tx *Tx, digest, reason string) (string, error) {
	return hold(tx, digest, reason, true)
}

func hold(tx *Tx, digest, reason string, lift bool) (string, error) {
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	if err := checkReason(reason); err != nil {
		return "", err
	}
	if strings.TrimSpace(reason) == "" {
		return "", provenance.Errorf(provenance.Invalid, "a quarantine, and its lifting, needs a reason")
	}
	key := state.HoldKey(d, tx.caller.MSP)
	var old state.Hold
	found, err := state.Read(tx, key, &old)
	if err != nil {
		return "", err
	}
	standing := found && !old.Lifted
	if lift && !standing {
		return "", provenance.Errorf(provenance.NotFound, "%s holds no quarantine of %s", tx.caller.MSP, d.Short())
	}
	if !lift && standing {
		return answer(old, nil)
	}
	h := state.Hold{Digest: d, MSP: tx.caller.MSP, Reason: reason, Lifted: lift, Act: tx.act()}
	if lift {
		h.Since = old.At // approvals given before a quarantine stay stale after it
	}
	return answer(h, tx.put(key, h))
}
