package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

// selection has the flags that select letters.
type selection struct {
	criteria operatorv1.Criteria
	from, to string
	suspect  bool
}

// flags adds the flags to a command.
func (f *selection) flags(c *cobra.Command, s *session, state operatorv1.State) {
	set := c.Flags()
	set.StringVarP(&f.criteria.Fingerprint, "group", "g", "", "only of this group: its fingerprint, see groups")
	set.StringVar(&f.criteria.Operation, "operation", "", "only of this operation: /pkg.Service/Method, or the end of it")
	set.StringVar(&f.criteria.Subscription, "subscription", "", "only of the subscription with this topic filter")
	set.StringVarP(&f.criteria.Topic, "topic", "t", "", "only with a topic that this filter matches")
	set.StringVar(&f.criteria.Reason, "reason", "", "only with this error type, or with this text in the reason")
	set.StringVar(&f.criteria.Origin, "origin", "", "only of this origin")
	set.StringVar(&f.from, "from", "", "only received at this time or later: 2026-01-02T15:04:05Z, 2026-01-02, or 2h for two hours ago")
	set.StringVar(&f.to, "to", "", "only received before this time")
	set.BoolVar(&f.suspect, "suspect", false, "only those that the service may not have written; --suspect=false: only the others")
	s.completeFlag(c, "group", func(ctx context.Context) []string { return s.groupChoices(ctx, state) })
	s.completeFlag(c, "operation", s.operationChoices)
}

// selected returns what the flags select; nil if none is set.
func (f *selection) selected(c *cobra.Command, ask operatorv1.OperatorServiceClient) (*operatorv1.Criteria, error) {
	var errs [2]error
	f.criteria.From, errs[0] = moment("--from", f.from, time.Now())
	f.criteria.To, errs[1] = moment("--to", f.to, time.Now())
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if c.Flags().Changed("suspect") {
		f.criteria.Suspect = &f.suspect
	}
	if err := f.resolve(c.Context(), ask); err != nil {
		return nil, err
	}
	for _, name := range []string{"group", "operation", "subscription", "topic", "reason", "origin", "from", "to", "suspect"} {
		if c.Flags().Changed(name) {
			return &f.criteria, nil
		}
	}
	return nil, nil
}

// resolve completes the name of an operation by those that the service has.
func (f *selection) resolve(ctx context.Context, ask operatorv1.OperatorServiceClient) error {
	end := f.criteria.Operation
	if end == "" || strings.HasPrefix(end, "/") {
		return nil
	}
	name, err := nameAmong(operationsOf(ctx, ask), end)
	if err == nil && name == end {
		err = fmt.Errorf("no operation of the service ends with %q: want /pkg.Service/Method", end)
	}
	f.criteria.Operation = name
	return err
}

// operationsOf returns the operations of the subscriptions and of the letters of a service.
func operationsOf(ctx context.Context, ask operatorv1.OperatorServiceClient) (names []string) {
	if reply, err := ask.ListSubscriptions(ctx, &operatorv1.ListSubscriptionsRequest{}); err == nil {
		for _, each := range reply.GetSubscriptions() {
			names = append(names, each.GetName())
		}
	}
	if reply, err := ask.ListGroups(ctx, &operatorv1.ListGroupsRequest{}); err == nil {
		for _, each := range reply.GetGroups() {
			names = append(names, each.GetOperation())
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "/") })
	slices.Sort(names)
	return slices.Compact(names)
}

// moment reads a time: that of a clock, a day, or a duration before now.
func moment(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return timestamppb.New(now.Add(-ago)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, fmt.Errorf("%s is %q: want a time such as 2026-01-02T15:04:05Z, a day such as 2026-01-02, or a duration such as 2h", flag, text)
}

// ids returns the ids among the arguments of a command: themselves, or the words of standard
// input if the only argument is "-".
func (s *session) ids(args []string) ([]string, error) {
	if len(args) != 1 || args[0] != "-" {
		return args, nil
	}
	var ids []string
	words := bufio.NewScanner(s.In)
	words.Split(bufio.ScanWords)
	for words.Scan() {
		ids = append(ids, words.Text())
	}
	if words.Err() == nil && len(ids) == 0 {
		return nil, errors.New("standard input has no ids")
	}
	return ids, words.Err()
}
