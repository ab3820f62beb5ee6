package command

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

func (s *session) subscriptionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "subscriptions", GroupID: groupRepair, Aliases: []string{"subscription", "subs"},
		Short: "See the subscriptions of a service, pause and resume them",
		Long: `Shows the subscriptions of a running service and whether they handle messages. A paused one keeps
its messages waiting, at the broker or in the queue; nothing is lost.`,
		Example: `kratos-mqtt subscriptions list
kratos-mqtt subscriptions pause RecordTelemetry --why "the database moves"
kratos-mqtt subscriptions resume RecordTelemetry`,
	}
	c.AddCommand(s.subscriptionsList(), s.subscriptionsPause(), s.subscriptionsResume())
	return c
}

func (s *session) subscriptionsList() *cobra.Command {
	stopped := false
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs, Short: "List the subscriptions",
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := s.service()
			if err != nil {
				return err
			}
			reply, err := at.Operator.ListSubscriptions(c.Context(), &operatorv1.ListSubscriptionsRequest{Stopped: stopped})
			if err != nil {
				return explained(err)
			}
			return s.writeSubscriptions(reply)
		},
	}
	c.Flags().BoolVar(&stopped, "stopped", false, "only those that do not handle messages")
	return c
}

func (s *session) subscriptionsPause() *cobra.Command {
	var why, by string
	c := &cobra.Command{
		Use: "pause NAME", Args: cobra.ExactArgs(1), Short: "Stop the handlers of a subscription until it is resumed",
		Long: `Stops the handlers of a subscription, an operation (/pkg.Service/Method, or the end of it) or a
topic filter, until it is resumed. Running handlers end first. Lists what is stopped afterwards.`,
		ValidArgsFunction: s.completeArgs(1, s.subscriptionChoices(false)),
		RunE: func(c *cobra.Command, args []string) error {
			return s.steer(c, args[0], "paused", func(ask operatorv1.OperatorServiceClient, name string) (*operatorv1.ListSubscriptionsReply, error) {
				return ask.PauseSubscription(c.Context(), &operatorv1.PauseSubscriptionRequest{Name: name, By: s.person(by), Why: why})
			})
		},
	}
	c.Flags().StringVar(&why, "why", "", "reason, which is shown while the pause lasts")
	byFlag(c, &by)
	return c
}

func (s *session) subscriptionsResume() *cobra.Command {
	by := ""
	c := &cobra.Command{
		Use: "resume NAME", Args: cobra.ExactArgs(1), Short: "End a pause, or make the next attempt of an open breaker at once",
		ValidArgsFunction: s.completeArgs(1, s.subscriptionChoices(true)),
		RunE: func(c *cobra.Command, args []string) error {
			return s.steer(c, args[0], "resumed", func(ask operatorv1.OperatorServiceClient, name string) (*operatorv1.ListSubscriptionsReply, error) {
				return ask.ResumeSubscription(c.Context(), &operatorv1.ResumeSubscriptionRequest{Name: name, By: s.person(by)})
			})
		},
	}
	byFlag(c, &by)
	return c
}

// steer calls a method for a subscription, names what it did, and lists what is stopped afterwards.
func (s *session) steer(c *cobra.Command, name, did string, do func(operatorv1.OperatorServiceClient, string) (*operatorv1.ListSubscriptionsReply, error)) error {
	at, err := s.service()
	if err != nil {
		return err
	}
	all, err := at.Operator.ListSubscriptions(c.Context(), &operatorv1.ListSubscriptionsRequest{})
	if err != nil {
		return explained(err)
	}
	var names []string
	for _, each := range all.GetSubscriptions() {
		names = append(names, each.GetName())
	}
	if name, err = nameAmong(names, name); err != nil {
		return err
	}
	reply, err := do(at.Operator, name)
	if err != nil {
		return explained(err)
	}
	fmt.Fprintln(s.Err, did, printable(name)+"; stopped now:")
	if err := s.writeSubscriptions(reply); err != nil {
		return err
	}
	if reply.GetError() != "" {
		return fmt.Errorf("a handler still runs: %s", printable(reply.GetError()))
	}
	return nil
}

// nameAmong returns the name that is meant: that of the one operation which ends with it, else the
// name itself.
func nameAmong(names []string, name string) (string, error) {
	var fit []string
	for _, full := range names {
		if full == name {
			return name, nil
		}
		if strings.HasPrefix(full, "/") && (strings.HasSuffix(full, "/"+name) || strings.HasSuffix(full, "."+name)) {
			fit = append(fit, full)
		}
	}
	switch len(fit) {
	case 0:
		return name, nil // the error of the service has the names that it knows
	case 1:
		return fit[0], nil
	}
	return "", fmt.Errorf("%d operations end with %q: %s", len(fit), name, printable(strings.Join(fit, ", ")))
}

func (s *session) writeSubscriptions(reply *operatorv1.ListSubscriptionsReply) error {
	t := s.table("name", "state", "waiting", "failures", "since", "by", "why")
	for _, each := range reply.GetSubscriptions() {
		since := ""
		if each.GetSince() != nil {
			since = at(each.GetSince())
		}
		failures := strconv.Itoa(int(each.GetFailures()))
		if each.GetOpensAt() > 0 {
			failures += " of " + strconv.Itoa(int(each.GetOpensAt()))
		}
		t.add(asJSON(each), each.GetName(), stateOf(each), strconv.Itoa(int(each.GetWaiting())), failures, since, each.GetBy(), short(whyOf(each), reasonRunes))
	}
	return t.write()
}

// whyOf returns why a subscription was paused, or else the last error of its handler.
func whyOf(each *operatorv1.Subscription) string {
	if each.GetState() == operatorv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED {
		return each.GetWhy()
	}
	return cmp.Or(each.GetWhy(), each.GetLastError())
}

// stateOf returns what a subscription does.
func stateOf(each *operatorv1.Subscription) string {
	switch each.GetState() {
	case operatorv1.SubscriptionState_SUBSCRIPTION_STATE_CLOSED:
		return "handles"
	case operatorv1.SubscriptionState_SUBSCRIPTION_STATE_OPEN:
		return "breaker open"
	case operatorv1.SubscriptionState_SUBSCRIPTION_STATE_HALF_OPEN:
		return "breaker half-open"
	case operatorv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED:
		return "paused"
	}
	return "unknown"
}
