package remote

import (
	"context"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// ListSubscriptions implements the service.
func (s *Server) ListSubscriptions(_ context.Context, r *operatorv1.ListSubscriptionsRequest) (*operatorv1.ListSubscriptionsReply, error) {
	return s.subscriptions(r.GetStopped(), nil)
}

// PauseSubscription implements the service.
func (s *Server) PauseSubscription(ctx context.Context, r *operatorv1.PauseSubscriptionRequest) (*operatorv1.ListSubscriptionsReply, error) {
	_, ctx, cancel := timeOf(ctx, 0)
	defer cancel()
	return s.subscriptions(true, s.operator.Pause(ctx, r.GetBy(), r.GetName(), r.GetWhy()))
}

// ResumeSubscription implements the service.
func (s *Server) ResumeSubscription(ctx context.Context, r *operatorv1.ResumeSubscriptionRequest) (*operatorv1.ListSubscriptionsReply, error) {
	return s.subscriptions(true, s.operator.Resume(ctx, r.GetBy(), r.GetName()))
}

// subscriptions returns the subscriptions after a call, all or those that do not handle
// messages. A handler that still runs does not make a pause fail.
func (s *Server) subscriptions(stopped bool, err error) (*operatorv1.ListSubscriptionsReply, error) {
	reply := new(operatorv1.ListSubscriptionsReply)
	switch event.ReasonOf(err) {
	case event.ReasonTimeout, event.ReasonCanceled:
		reply.Error = text(err.Error())
	default:
		if err != nil {
			return nil, statusOf(err)
		}
	}
	list, err := s.operator.Subscriptions()
	if err != nil {
		return nil, statusOf(err)
	}
	for i := range list {
		if !stopped || list[i].State != event.BreakerClosed {
			reply.Subscriptions = append(reply.Subscriptions, subscriptionOf(&list[i]))
		}
	}
	return reply, nil
}

func subscriptionOf(p *event.SubscriptionPause) *operatorv1.Subscription {
	reply := &operatorv1.Subscription{
		Name: text(p.Name), By: text(p.By), Why: text(p.Why), Since: timeOut(p.Since), Failures: small(p.Failures), OpensAt: small(p.OpensAt),
		LastError: text(p.LastError), NextTrial: timeOut(p.NextTrial), Waiting: small(p.Waiting),
	}
	for _, name := range p.AlsoWaiting {
		reply.AlsoWaiting = append(reply.AlsoWaiting, text(name))
	}
	switch p.State {
	case event.BreakerClosed:
		reply.State = operatorv1.SubscriptionState_SUBSCRIPTION_STATE_CLOSED
	case event.BreakerOpen:
		reply.State = operatorv1.SubscriptionState_SUBSCRIPTION_STATE_OPEN
	case event.BreakerHalfOpen:
		reply.State = operatorv1.SubscriptionState_SUBSCRIPTION_STATE_HALF_OPEN
	case event.PausedByHand:
		reply.State = operatorv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED
	}
	return reply
}
