package proof

import "testing"

// A target for each message that is read, one for files, and one for what makes them.

func FuzzTimestamp(f *testing.F)                { fuzzMessage(f, "google.protobuf.Timestamp") }
func FuzzBlock(f *testing.F)                    { fuzzMessage(f, "common.Block") }
func FuzzBlockHeader(f *testing.F)              { fuzzMessage(f, "common.BlockHeader") }
func FuzzBlockData(f *testing.F)                { fuzzMessage(f, "common.BlockData") }
func FuzzBlockMetadata(f *testing.F)            { fuzzMessage(f, "common.BlockMetadata") }
func FuzzMetadata(f *testing.F)                 { fuzzMessage(f, "common.Metadata") }
func FuzzMetadataSignature(f *testing.F)        { fuzzMessage(f, "common.MetadataSignature") }
func FuzzIdentifierHeader(f *testing.F)         { fuzzMessage(f, "common.IdentifierHeader") }
func FuzzOrdererBlockMetadata(f *testing.F)     { fuzzMessage(f, "common.OrdererBlockMetadata") }
func FuzzLastConfig(f *testing.F)               { fuzzMessage(f, "common.LastConfig") }
func FuzzEnvelope(f *testing.F)                 { fuzzMessage(f, "common.Envelope") }
func FuzzPayload(f *testing.F)                  { fuzzMessage(f, "common.Payload") }
func FuzzHeader(f *testing.F)                   { fuzzMessage(f, "common.Header") }
func FuzzChannelHeader(f *testing.F)            { fuzzMessage(f, "common.ChannelHeader") }
func FuzzSignatureHeader(f *testing.F)          { fuzzMessage(f, "common.SignatureHeader") }
func FuzzConfigEnvelope(f *testing.F)           { fuzzMessage(f, "common.ConfigEnvelope") }
func FuzzConfig(f *testing.F)                   { fuzzMessage(f, "common.Config") }
func FuzzConfigGroup(f *testing.F)              { fuzzMessage(f, "common.ConfigGroup") }
func FuzzConfigValue(f *testing.F)              { fuzzMessage(f, "common.ConfigValue") }
func FuzzConfigPolicy(f *testing.F)             { fuzzMessage(f, "common.ConfigPolicy") }
func FuzzPolicy(f *testing.F)                   { fuzzMessage(f, "common.Policy") }
func FuzzOrderers(f *testing.F)                 { fuzzMessage(f, "common.Orderers") }
func FuzzConsenter(f *testing.F)                { fuzzMessage(f, "common.Consenter") }
func FuzzCapabilities(f *testing.F)             { fuzzMessage(f, "common.Capabilities") }
func FuzzConsensusType(f *testing.F)            { fuzzMessage(f, "orderer.ConsensusType") }
func FuzzMSPConfig(f *testing.F)                { fuzzMessage(f, "msp.MSPConfig") }
func FuzzFabricMSPConfig(f *testing.F)          { fuzzMessage(f, "msp.FabricMSPConfig") }
func FuzzFabricNodeOUs(f *testing.F)            { fuzzMessage(f, "msp.FabricNodeOUs") }
func FuzzFabricOUIdentifier(f *testing.F)       { fuzzMessage(f, "msp.FabricOUIdentifier") }
func FuzzSerializedIdentity(f *testing.F)       { fuzzMessage(f, "msp.SerializedIdentity") }
func FuzzTransaction(f *testing.F)              { fuzzMessage(f, "protos.Transaction") }
func FuzzTransactionAction(f *testing.F)        { fuzzMessage(f, "protos.TransactionAction") }
func FuzzChaincodeActionPayload(f *testing.F)   { fuzzMessage(f, "protos.ChaincodeActionPayload") }
func FuzzChaincodeEndorsedAction(f *testing.F)  { fuzzMessage(f, "protos.ChaincodeEndorsedAction") }
func FuzzEndorsement(f *testing.F)              { fuzzMessage(f, "protos.Endorsement") }
func FuzzProposalResponsePayload(f *testing.F)  { fuzzMessage(f, "protos.ProposalResponsePayload") }
func FuzzChaincodeAction(f *testing.F)          { fuzzMessage(f, "protos.ChaincodeAction") }
func FuzzChaincodeID(f *testing.F)              { fuzzMessage(f, "protos.ChaincodeID") }
func FuzzResponse(f *testing.F)                 { fuzzMessage(f, "protos.Response") }
func FuzzChaincodeHeaderExtension(f *testing.F) { fuzzMessage(f, "protos.ChaincodeHeaderExtension") }
func FuzzChaincodeProposalPayload(f *testing.F) { fuzzMessage(f, "protos.ChaincodeProposalPayload") }
func FuzzChaincodeInvocationSpec(f *testing.F)  { fuzzMessage(f, "protos.ChaincodeInvocationSpec") }
func FuzzChaincodeSpec(f *testing.F)            { fuzzMessage(f, "protos.ChaincodeSpec") }
func FuzzChaincodeInput(f *testing.F)           { fuzzMessage(f, "protos.ChaincodeInput") }
func FuzzProcessedTransaction(f *testing.F)     { fuzzMessage(f, "protos.ProcessedTransaction") }
func FuzzTxReadWriteSet(f *testing.F)           { fuzzMessage(f, "rwset.TxReadWriteSet") }
func FuzzNsReadWriteSet(f *testing.F)           { fuzzMessage(f, "rwset.NsReadWriteSet") }
func FuzzKVRWSet(f *testing.F)                  { fuzzMessage(f, "kvrwset.KVRWSet") }
func FuzzKVRead(f *testing.F)                   { fuzzMessage(f, "kvrwset.KVRead") }
func FuzzKVWrite(f *testing.F)                  { fuzzMessage(f, "kvrwset.KVWrite") }
func FuzzVersion(f *testing.F)                  { fuzzMessage(f, "kvrwset.Version") }

func FuzzFile(f *testing.F) {
	o := fixtureOptions(f)
	for _, file := range tampered(f) {
		f.Add(file.Marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err == nil && string(p.Marshal()) != string(b) {
			t.Fatal("two forms of one file")
		}
		r := Verify(b, o)
		if r.Result == Valid && err != nil {
			t.Fatal("valid, and no file")
		}
		_, _ = r.JSON(), r.WriteText(discard{})
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func FuzzVerdict(f *testing.F) {
	q := question{host: testHost, repository: testRepo, digest: testDigest, stage: "production"}
	f.Add([]byte(`{"image":"` + q.image() + `","digest":"` + testDigest + `","stage":"production","verdict":"allowed","height":0,"reasons":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := parseVerdict(b, q); err == nil && (v.Image != q.image() || v.Stage != q.stage) {
			t.Fatal("an answer to another question")
		}
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = certificate(b) })
}

func FuzzAuthority(f *testing.F) {
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseAuthority(b) })
}

func FuzzMake(f *testing.F) {
	b := fixture(f, "chain.pb")
	chain, err := parse("common.BlockData", b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chain.all(1)[1], "record:Segment")
	f.Fuzz(func(_ *testing.T, b []byte, function string) {
		_, _ = TransactionIDs(b, function)
		_, _ = NewConfig("waybill", [][]byte{b, b})
		_, _ = NewReceipt("waybill", chain.all(1)[:1], b, b)
	})
}
