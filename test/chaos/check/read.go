package check

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Read reads what an index says of repositories, each a host and a name, into
// an Index without a rebuild to compare with.
func Read(ctx context.Context, x *index.Index, name string, repositories [][2]string) (Index, error) {
	out := Index{Name: name, Events: map[string]int{}}
	err := x.View(ctx, func(s *index.Snapshot) error {
		out.Height = s.Height
		for _, r := range repositories {
			filter := readmodel.HistoryFilter{Host: provenance.Host(r[0]), Repository: provenance.Repository(r[1])}
			for page := (readmodel.Page{Size: readmodel.MaxPage}); ; {
				records, next, err := s.History(filter, page)
				if err != nil {
					return err
				}
				for _, r := range records {
					out.Events[Key(r.Kind, string(r.Host), string(r.Repository), string(r.Tag), r.Digest.String())]++
				}
				if page.Token = next; next == "" {
					break
				}
			}
		}
		return nil
	})
	if err == nil {
		out.Fingerprint, err = x.Fingerprint(ctx)
	}
	return out, err
}
