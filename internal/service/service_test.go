package service

import (
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

func TestPageOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size  int32
		token string
		want  biz.Page
		field string
	}{
		"default":           {0, "", biz.Page{Size: 50, Bytes: maxPageBytes}, ""},
		"as asked":          {7, "", biz.Page{Size: 7, Bytes: maxPageBytes}, ""},
		"cut to maximum":    {1001, "", biz.Page{Size: 1000, Bytes: maxPageBytes}, ""},
		"with token":        {7, tokenOf(42), biz.Page{Size: 7, Bytes: maxPageBytes, Before: 42}, ""},
		"negative":          {-1, "", biz.Page{}, "page_size"},
		"no base64":         {1, "?", biz.Page{}, "page_token"},
		"no number":         {1, "eA", biz.Page{}, "page_token"},
		"negative cursor":   {1, tokenOf(-1), biz.Page{}, "page_token"},
		"number and beyond": {1, tokenOf(1) + "eHg", biz.Page{}, "page_token"},
	} {
		page, err := pageOf(&reportv1.ListReportsRequest{PageSize: test.size, PageToken: test.token})
		if test.field == "" {
			if err != nil || page != test.want {
				t.Errorf("%s: %+v, %v", name, page, err)
			}
			continue
		}
		if e := kerrors.FromError(err); e == nil || e.Code != 400 || e.Metadata[test.field] == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if tokenOf(0) != "" {
		t.Error("a last page has a token")
	}
}
