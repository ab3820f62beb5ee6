package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

// maxPage is how many rows one call of the service returns.
const maxPage = 1000

// paging has the flags of a list that is read page by page.
type paging struct {
	limit  int // rows that are left
	cursor string
	walk   service.Walk
}

func (p *paging) flags(c *cobra.Command) {
	c.Flags().IntVar(&p.limit, "limit", 100, "how many at most")
	c.Flags().StringVar(&p.cursor, "cursor", "", "go on where an earlier list ended")
}

func (p *paging) check(c *cobra.Command) error {
	if p.limit < 1 {
		return usageError(c, "--limit is %d, want at least 1", p.limit)
	}
	return nil
}

// size returns the size of the next page.
func (p *paging) size() int32 { return int32(min(p.limit, maxPage)) }

// next counts a page, and reports whether another one is wanted. A list without an end is an
// error.
func (p *paging) next(rows int, cursor string) (more bool, err error) {
	before := p.cursor
	p.limit, p.cursor = p.limit-rows, cursor
	if cursor == "" || p.limit <= 0 {
		return false, nil
	}
	return true, p.walk.Next(before, cursor)
}

// rest writes the flag that continues the list, if there may be more.
func (p *paging) rest(s *session) {
	if p.cursor != "" {
		fmt.Fprintln(s.Err, "there may be more: --cursor", printable(p.cursor))
	}
}
