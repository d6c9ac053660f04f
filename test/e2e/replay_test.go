package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// replayed sends the very bytes of a signed approval again: after it was
// withdrawn, and with another image's digest in place of the approver's.
func (c *consortium) replayed(t *testing.T) {
	c.t = t
	image, other := imageOf("replayed"), imageOf("replayed for")
	c.push(3, "replayed", "replayed for")
	for _, d := range []provenance.Digest{image, other} {
		if err := c.submit("security/scanner", d, "vuln-scan", "plain", "", "", fmt.Sprintf(cleanScan, 4)); err != nil {
			t.Fatal(err)
		}
		c.act("platform/release-manager", "promotion:Request", bypassHost, bypassRepo, d.String(), "production")
	}
	seen := c.verdict(image)
	if got := c.verdict(other); got.Attempt != seen.Attempt {
		t.Fatalf("the replay must not fail for its attempt: %+v, %+v", seen, got)
	}
	approver := c.as("security/release-manager")
	signed, err := approver.Endorse(c.ctx, "promotion:Approve", approval([]string{bypassHost, bypassRepo, image.String(), "production"}, seen, ""), nil)
	if err != nil {
		t.Fatal(err)
	}

	forged := ledger.Endorsed{TxID: signed.TxID, Bytes: bytes.ReplaceAll(signed.Bytes, []byte(hexOf(image)), []byte(hexOf(other)))}
	if bytes.Equal(forged.Bytes, signed.Bytes) {
		t.Fatal("the signed bytes do not hold the digest")
	}
	err = approver.SubmitEndorsed(c.ctx, forged)
	if err == nil || !strings.Contains(err.Error(), "status=FORBIDDEN") {
		t.Errorf("the orderers' own word is missing: %v", err)
	}
	c.refused("signed bytes with another digest in them", provenance.Forbidden, err)
	c.stands("the forged bytes", other, "0 of 2")
	c.stands("the forged bytes", image, "0 of 2")

	if err := approver.SubmitEndorsed(c.ctx, signed); err != nil {
		t.Fatal(err)
	}
	if commit, err := approver.CommitStatus(c.ctx, signed.TxID); err != nil || !commit.Valid {
		t.Fatalf("the approval itself: %+v, %v", commit, err)
	}
	c.stands("the approval", image, "1 of 2 approvals (SecurityMSP)")
	c.act("security/release-manager", "promotion:Withdraw", bypassHost, bypassRepo, image.String(), "production", "looked again")
	c.stands("the withdrawal", image, "0 of 2")

	// Orderers that remember it put it in no block, peers that meet it mark it
	// DUPLICATE_TXID; either way another act goes by, and nothing has changed.
	if err := approver.SubmitEndorsed(c.ctx, signed); err != nil {
		t.Fatal(err)
	}
	c.act("audit/admin", "member:Grant", "passer-by", "auditor")
	c.stands("the same signed bytes after the withdrawal", image, "0 of 2")
}

// stands wants the quorum of an image where it is said to be.
func (c *consortium) stands(after string, d provenance.Digest, want string) {
	c.t.Helper()
	if got := c.approved(d); !strings.HasPrefix(got, want) {
		c.t.Errorf("after %s: %s, want %s", after, got, want)
		return
	}
	c.t.Logf("%-62s %s", "after "+after, want)
}
