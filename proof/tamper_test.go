package proof

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// nested says which message stands in a field of another: all that a proof looks into.
var nested = map[string]string{
	"File.config": "common.Block", "File.block": "common.Block", "File.transaction": "common.Payload", "File.status": "common.Payload",
	"File.header": "common.BlockHeader", "File.metadata": "common.Metadata",

	"common.Block.1": "common.BlockHeader", "common.Block.2": "common.BlockData", "common.Block.3": "common.BlockMetadata",
	"common.BlockData.1": "common.Envelope", "common.BlockMetadata.1": "common.Metadata",
	"common.Metadata.1": "common.OrdererBlockMetadata", "common.Metadata.2": "common.MetadataSignature", "common.MetadataSignature.3": "common.IdentifierHeader",
	"common.OrdererBlockMetadata.1": "common.LastConfig",
	"common.Envelope.1":             "common.Payload", "common.Payload.1": "common.Header", "common.Header.1": "common.ChannelHeader", "common.Header.2": "common.SignatureHeader",
	"common.ChannelHeader.3": "google.protobuf.Timestamp", "common.ChannelHeader.7": "protos.ChaincodeHeaderExtension",
	"common.SignatureHeader.1": "msp.SerializedIdentity",
	"common.ConfigEnvelope.1":  "common.Config", "common.Config.2": "common.ConfigGroup", "common.ConfigGroup.2": "map", "common.ConfigGroup.3": "map", "common.ConfigGroup.4": "map",
	"protos.Transaction.1": "protos.TransactionAction", "protos.TransactionAction.1": "common.SignatureHeader", "protos.TransactionAction.2": "protos.ChaincodeActionPayload",
	"protos.ChaincodeActionPayload.1": "protos.ChaincodeProposalPayload", "protos.ChaincodeActionPayload.2": "protos.ChaincodeEndorsedAction",
	"protos.ChaincodeEndorsedAction.1": "protos.ProposalResponsePayload", "protos.ChaincodeEndorsedAction.2": "protos.Endorsement",
	"protos.Endorsement.1":             "msp.SerializedIdentity",
	"protos.ProposalResponsePayload.2": "protos.ChaincodeAction", "protos.ChaincodeAction.1": "rwset.TxReadWriteSet", "protos.ChaincodeAction.3": "protos.Response",
	"protos.ChaincodeAction.4": "protos.ChaincodeID", "protos.ChaincodeHeaderExtension.2": "protos.ChaincodeID",
	"protos.ChaincodeProposalPayload.1": "protos.ChaincodeInvocationSpec", "protos.ChaincodeInvocationSpec.1": "protos.ChaincodeSpec",
	"protos.ChaincodeSpec.2": "protos.ChaincodeID", "protos.ChaincodeSpec.3": "protos.ChaincodeInput",
	"rwset.TxReadWriteSet.2": "rwset.NsReadWriteSet", "rwset.NsReadWriteSet.2": "kvrwset.KVRWSet",
	"kvrwset.KVRWSet.1": "kvrwset.KVRead", "kvrwset.KVRWSet.3": "kvrwset.KVWrite", "kvrwset.KVRead.2": "kvrwset.Version",
}

// inPayload is what stands in a payload's data, which its type says.
func inPayload(payload []byte) string {
	if channelHeaderType(payload) == typeConfig {
		return "common.ConfigEnvelope"
	}
	return "protos.Transaction"
}

// field is one field of a message as it is encoded.
type wireField struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64
	bytes  []byte
}

func (f wireField) encode() []byte {
	b := protowire.AppendTag(nil, f.number, f.kind)
	if f.kind == protowire.VarintType {
		return protowire.AppendVarint(b, f.varint)
	}
	return protowire.AppendBytes(b, f.bytes)
}

func wireFields(t testing.TB, b []byte) (list []wireField) {
	t.Helper()
	for len(b) > 0 {
		var f wireField
		var n int
		f.number, f.kind, n = protowire.ConsumeTag(b)
		b = b[n:]
		if f.kind == protowire.VarintType {
			f.varint, n = protowire.ConsumeVarint(b)
		} else {
			f.bytes, n = protowire.ConsumeBytes(b)
		}
		if n < 0 {
			t.Fatal("a fixture that cannot be read")
		}
		list, b = append(list, f), b[n:]
	}
	return list
}

func encodeFields(list []wireField) []byte {
	b := []byte{}
	for _, f := range list {
		b = append(b, f.encode()...)
	}
	return b
}

// each changes every field of a message, and of all messages within, one at a time, and hands out the whole message
// encoded again with what was done.
func each(t testing.TB, what, path string, b []byte, out func(path string, changed []byte)) {
	t.Helper()
	list := wireFields(t, b)
	with := func(i int, changed ...wireField) []byte {
		return encodeFields(append(append(append([]wireField{}, list[:i]...), changed...), list[i+1:]...))
	}
	say := func(i int, how string, changed []byte) {
		if !bytes.Equal(changed, b) {
			out(fmt.Sprintf("%s/%s.%d[%d] %s", path, what, list[i].number, i, how), changed)
		}
	}
	for i, f := range list {
		say(i, "left out", with(i))
		say(i, "twice", with(i, f, f))
		if i+1 < len(list) {
			swapped := append([]wireField{}, list...)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			say(i, "after the next", encodeFields(swapped))
		}
		say(i, "another number", with(i, wireField{f.number + 20, f.kind, f.varint, f.bytes}))
		before, after := encodeFields(list[:i]), encodeFields(list[i+1:])
		tag := protowire.AppendTag(nil, f.number, f.kind)
		long := append(bytes.Clone(tag), 0)
		long[len(tag)-1] |= 0x80
		say(i, "a long tag", bytes.Join([][]byte{before, long, f.encode()[len(tag):], after}, nil))
		if f.kind == protowire.VarintType {
			for _, v := range []uint64{f.varint + 1, f.varint - 1, 0, 1 << 40} {
				say(i, "another value", with(i, wireField{f.number, f.kind, v, nil}))
			}
			value := protowire.AppendVarint(nil, f.varint)
			value[len(value)-1] |= 0x80
			say(i, "a long value", bytes.Join([][]byte{before, tag, value, {0}, after}, nil))
			continue
		}
		for _, v := range changes(f.bytes) {
			say(i, "other bytes", with(i, wireField{f.number, f.kind, 0, v}))
		}
		within := nested[fmt.Sprintf("%s.%d", what, f.number)]
		if what == "common.Payload" && f.number == 2 {
			within = inPayload(b)
		}
		if within != "" && len(f.bytes) > 0 {
			each(t, within, fmt.Sprintf("%s/%s.%d[%d]", path, what, f.number, i), f.bytes, func(path string, changed []byte) {
				out(path, with(i, wireField{f.number, f.kind, 0, changed}))
			})
		}
	}
	out(path+"/"+what+" a field more", append(bytes.Clone(b), wireField{100, protowire.VarintType, 1, nil}.encode()...))
	out(path+"/"+what+" a byte more", append(bytes.Clone(b), 0))
}

// changes are other bytes in the place of some.
func changes(b []byte) [][]byte {
	list := [][]byte{{}, append(bytes.Clone(b), 0), append([]byte{0}, b...), append(bytes.Clone(b), b...)}
	if len(b) > 0 {
		list = append(list, b[1:], b[:len(b)-1], bytes.ToUpper(b))
		for _, at := range []int{0, len(b) / 2, len(b) - 1} {
			for _, bit := range []byte{1, 0x80} {
				flipped := bytes.Clone(b)
				flipped[at] ^= bit
				list = append(list, flipped)
			}
		}
	}
	return list
}

// partsOf are the messages of a file, and how one is put in the place of another.
func partsOf(f File) map[string]func(change func([]byte) []byte) File {
	all := map[string]func(func([]byte) []byte) File{}
	for i := range f.Config {
		all[fmt.Sprintf("config %d", i)] = func(change func([]byte) []byte) File {
			g := f
			g.Config = append([][]byte{}, f.Config...)
			g.Config[i] = change(f.Config[i])
			return g
		}
	}
	if f.Floor != nil {
		all["header"] = func(change func([]byte) []byte) File {
			g := f
			g.Floor = &Header{change(f.Floor.Header), f.Floor.Metadata}
			return g
		}
		all["metadata"] = func(change func([]byte) []byte) File {
			g := f
			g.Floor = &Header{f.Floor.Header, change(f.Floor.Metadata)}
			return g
		}
	}
	if f.Transaction != nil {
		all["transaction"] = func(change func([]byte) []byte) File { g := f; g.Transaction = change(f.Transaction); return g }
	}
	if f.Block != nil {
		all["block"] = func(change func([]byte) []byte) File { g := f; g.Block = change(f.Block); return g }
		all["status"] = func(change func([]byte) []byte) File { g := f; g.Status = change(f.Status); return g }
	}
	return all
}

// message of a part.
func messageOf(part string) string { return nested["File."+strings.Fields(part)[0]] }

// tampered are the files that are changed: real ones, with their configuration in them and beside them.
func tampered(t testing.TB) map[string]File {
	all := map[string]File{}
	config, err := Parse(fixture(t, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"receipt", "receipt-held", "receipt-unknown", "transaction-push", "transaction-hold", "config"} {
		f, err := Parse(fixture(t, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = f
	}
	whole := all["receipt"]
	whole.Config = config.Config
	all["receipt with its configuration"] = whole
	return all
}

// tally counts changes, and takes one that is not refused for a failure.
type tally struct {
	t     *testing.T
	o     Options
	tried int
	by    map[Result]int
}

func (c *tally) refused(what string, file []byte) {
	c.tried++
	r := Verify(file, c.o)
	c.by[r.Result]++
	if r.Result == Valid || r.Exit() < 14 || len(r.Proven) > 0 {
		c.t.Errorf("%s: %s", what, r.Result)
	}
}

// Every field of every message of every kind of file, changed, left out, doubled, moved and encoded in another way.
func TestEveryFieldChanged(t *testing.T) {
	c := &tally{t: t, o: fixtureOptions(t), by: map[Result]int{}}
	every := 1
	if testing.Short() {
		every = 25
	}
	for name, f := range tampered(t) {
		for part, put := range partsOf(f) {
			r := rand.New(rand.NewPCG(1, 2))
			put(func(b []byte) []byte {
				each(t, messageOf(part), name+" "+part, b, func(path string, changed []byte) {
					skipped := every
					if strings.HasPrefix(part, "config") {
						skipped *= 20 // a configuration has thousands of fields, and one hash
					}
					if r.IntN(skipped) > 0 {
						return
					}
					c.refused(path, put(func([]byte) []byte { return changed }).Marshal())
				})
				return b
			})
		}
	}
	t.Logf("%d changes of fields tried, all refused: %v", c.tried, c.by)
	if c.tried < 10_000/every {
		t.Errorf("only %d changes", c.tried)
	}
}

// Bits of every part, wherever they stand.
func TestBitsFlipped(t *testing.T) {
	c := &tally{t: t, o: fixtureOptions(t), by: map[Result]int{}}
	many := 400
	if testing.Short() {
		many = 10
	}
	r := rand.New(rand.NewPCG(3, 4))
	for name, f := range tampered(t) {
		for part, put := range partsOf(f) {
			for range many {
				c.refused(name+" "+part+": a bit flipped", put(func(b []byte) []byte {
					b = bytes.Clone(b)
					b[r.IntN(len(b))] ^= 1 << r.IntN(8)
					return b
				}).Marshal())
			}
		}
		raw := f.Marshal()
		for range many {
			b := bytes.Clone(raw)
			b[r.IntN(len(b))] ^= 1 << r.IntN(7)
			c.refused(name+": a bit of the JSON flipped", b)
			c.refused(name+": cut", raw[:r.IntN(len(raw))])
		}
	}
	t.Logf("%d flips and cuts tried, all refused: %v", c.tried, c.by)
}

// The JSON around: members left out, doubled, renamed, moved; other spellings of the same.
func TestEveryMemberChanged(t *testing.T) {
	c := &tally{t: t, o: fixtureOptions(t), by: map[Result]int{}}
	member := regexp.MustCompile(`"[a-zA-Z]+":("[^"]*"|[0-9]+|\[[^\]]*\]|\{[^}]*\}),?`)
	for name, f := range tampered(t) {
		raw := string(f.Marshal())
		replaced := func(what, old, changed string) {
			c.refused(name+" "+what, []byte(strings.Replace(raw, old, changed, 1)))
		}
		for _, m := range member.FindAllString(raw, -1) {
			whole := strings.TrimSuffix(m, ",")
			title, value, _ := strings.Cut(whole, ":")
			for what, changed := range map[string]string{
				"left out": "", "twice": whole + "," + whole + ",", "another name": `"x` + title[1:] + ":" + value + ",", "another case": strings.ToUpper(title) + ":" + value + ",",
				"null": title + ":null,", "a number": title + ":2,", "text": title + `:"x",`, "empty text": title + `:"",`, "an empty list": title + ":[],", "an object": title + ":{},", "a list": title + ":[" + value + "],",
				"white space before": " " + m, "white space within": title + ": " + value + ",", "an escape": strings.Replace(m, title[1:2], fmt.Sprintf(`\u%04x`, title[1]), 1), "another member before": `"more":1,` + m,
				"a fraction": title + ":" + value + ".0,",
			} {
				if title == `"config"` && what == "left out" {
					continue // it is beside the file, and that is the other form of the same
				}
				if strings.HasSuffix(m, ",") || what == "left out" || !strings.HasSuffix(changed, ",") {
					replaced(title+" "+what, m, changed)
				} else {
					replaced(title+" "+what, m, strings.TrimSuffix(changed, ","))
				}
			}
			if text := strings.Trim(value, `"[]`); len(text) > 40 && value[0] != '{' {
				padded := strings.SplitN(text, `"`, 2)[0]
				replaced(title+" unpadded or cut", padded, padded[:len(padded)-1])
				replaced(title+" line break", padded, padded[:4]+`\n`+padded[4:])
				replaced(title+" white space", padded, padded[:4]+" "+padded[4:])
				if b, err := base64.StdEncoding.DecodeString(padded); err == nil {
					replaced(title+" of the other alphabet", padded, base64.URLEncoding.EncodeToString(append(b, 0xff, 0xff, 0xff)))
				}
				if strings.HasSuffix(padded, "=") {
					at := strings.IndexByte(padded, '=') - 1
					replaced(title+" bits that are none", padded, padded[:at]+string(padded[at]+1)+padded[at+1:])
				}
			}
		}
		for what, b := range map[string]string{
			"another line's end": raw + "\n", "no line's end": strings.TrimSuffix(raw, "\n"), "a byte order mark": "\uFEFF" + raw, "two": raw + raw, "white space before": " " + raw,
			"a list": "[" + raw + "]", "nothing": "", "null": "null", "text": `"x"`,
		} {
			c.refused(name+" "+what, []byte(b))
		}
	}
	t.Logf("%d changes of JSON tried, all refused: %v", c.tried, c.by)
}

// Parts of one file in the place of another's, in every combination.
func TestPartsSwapped(t *testing.T) {
	c := &tally{t: t, o: fixtureOptions(t), by: map[Result]int{}}
	n := testNetwork(t)
	n.block(blockOptions{}, n.envelope([]byte("x")))
	files := tampered(t)
	files["another network's receipt"] = n.receipt(n.question())
	files["another network's transaction"] = n.transaction(n.act(), 0, nil)
	names := []string{}
	for name := range files {
		names = append(names, name)
	}
	for _, one := range names {
		for _, other := range names {
			for part, put := range partsOf(files[one]) {
				for otherPart, of := range partsOf(files[other]) {
					var theirs []byte
					of(func(b []byte) []byte { theirs = b; return b })
					g := put(func(b []byte) []byte {
						if bytes.Equal(b, theirs) {
							return nil
						}
						return theirs
					})
					if part == "transaction" && otherPart == part && strings.HasPrefix(one, "receipt") && strings.HasPrefix(other, "receipt") {
						continue // two receipts of one channel have the same around the transaction: it is the other one
					}
					c.refused(one+" "+part+" from "+other+" "+otherPart, g.Marshal())
				}
			}
		}
	}
	t.Logf("%d swaps tried, all refused but those that make another's file: %v", c.tried, c.by)
}
