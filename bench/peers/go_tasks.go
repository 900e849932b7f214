// SPDX-License-Identifier: MIT
//
// Go: what goroutines do with one another.  W11 to W15; a group is a WaitGroup, a scope a context.
package main

import (
	"context"
	"sync"
	"time"
)

const batch = 32

// Run work, which takes its time itself, in a goroutine that the runtime may move.
func inside(work func(count int) int64) func(count, _ int) int64 {
	return func(count, _ int) int64 {
		elapsed := make(chan int64)
		go func() { elapsed <- work(count) }()
		return <-elapsed
	}
}

func messages(count int) int64 {
	to, from := make(chan int, 1), make(chan int, 1)
	start := time.Now()
	go func() {
		for message := range to {
			from <- message
		}
	}()
	for i := 0; i < count/2; i++ {
		to <- i
		<-from
	}
	close(to)
	return time.Since(start).Nanoseconds()
}

func sleepUntil(cancelled context.Context, begun *sync.WaitGroup, ended chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	defer close(ended)
	begun.Done()
	select {
	case <-timer.C:
	case <-cancelled.Done():
	}
}

func cancels(count int) int64 {
	var elapsed int64
	for ; count > 0; count -= batch {
		var cancel [batch]context.CancelFunc
		var ended [batch]chan struct{}
		var begun sync.WaitGroup
		size := batch
		if count < batch {
			size = count
		}
		begun.Add(size)
		for i := 0; i < size; i++ {
			var its context.Context
			its, cancel[i] = context.WithCancel(context.Background())
			ended[i] = make(chan struct{})
			go sleepUntil(its, &begun, ended[i])
		}
		begun.Wait()
		elapsed += repeat(1, func() {
			for i := 0; i < size; i++ {
				cancel[i]()
			}
			for i := 0; i < size; i++ {
				<-ended[i]
			}
		})
	}
	return elapsed
}

func groups(count int) int64 {
	return repeat(count, func() {
		var group sync.WaitGroup
		group.Add(1)
		go group.Done()
		group.Wait()
	})
}

func scopes(count int) int64 {
	return repeat(count, func() {
		_, cancel := context.WithTimeout(context.Background(), time.Hour)
		cancel()
	})
}

func init() {
	works["W11"] = inside(messages)
	works["W14"] = inside(cancels)
	works["W15-group"] = inside(groups)
	works["W15-scope"] = inside(scopes)
}
