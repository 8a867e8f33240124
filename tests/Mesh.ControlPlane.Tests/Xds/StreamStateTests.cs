using Envoy.Service.Discovery.V3;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>The rules of the state of the world protocol, one conversation each.</summary>
public sealed class StreamStateTests
{
    [Theory]
    [InlineData("initial: wildcard by empty list", """
        config CDS=a1,b1 LDS=l1
        > CDS
        < CDS a1 b1
        > LDS
        < LDS l1
        """)]
    [InlineData("a request before the first configuration is answered with it", """
        > CDS
        config CDS=a1
        < CDS a1
        """)]
    [InlineData("an ACK is not answered", """
        config CDS=a1
        > CDS
        < CDS a1
        > CDS ack
        ? settled
        """)]
    [InlineData("equal content is not pushed", """
        config CDS=a1
        > CDS
        < CDS a1
        > CDS ack
        config CDS=a1
        ? settled
        """)]
    [InlineData("a stale nonce is ignored, names and all", """
        config EDS=a1,b1
        > EDS a
        < EDS a1
        > EDS a b nonce=s.0
        > EDS a
        """)]
    [InlineData("a nonce of an older stream means nothing on a new one", """
        config EDS=a1
        > EDS a nonce=old.7
        < EDS a1
        """)]
    [InlineData("names without nonce before the first response count", """
        > EDS a nonce=
        > EDS a b nonce=
        config EDS=a1,b1
        < EDS a1 b1
        """)]
    [InlineData("added names are sent even though they did not change", """
        config EDS=a1,b1
        > EDS a
        < EDS a1
        > EDS ack
        > EDS a b
        < EDS b1
        > EDS a b
        """)]
    [InlineData("names dropped and asked for again are sent again", """
        config EDS=a1,b1
        > EDS a b
        < EDS a1 b1
        > EDS b
        > EDS a b
        < EDS a1
        """)]
    [InlineData("added names of a whole set bring the whole set", """
        config CDS=a1,b1,c1
        > CDS a
        < CDS a1
        > CDS a b
        < CDS a1 b1
        """)]
    [InlineData("the explicit wildcard may stand beside names", """
        config CDS=a1,b1
        > CDS *
        < CDS a1 b1
        > CDS * b z
        < CDS a1 b1
        > CDS z
        config CDS=a1,b2,z1
        < CDS z1
        """)]
    [InlineData("names end the legacy wildcard, and an empty list after names is no wildcard", """
        config CDS=a1,b1
        > CDS
        < CDS a1 b1
        > CDS a
        < CDS a1
        > CDS
        config CDS=a2,b2
        ? settled
        """)]
    [InlineData("empty is no wildcard for endpoints and routes", """
        config EDS=a1 RDS=r1
        > EDS
        > RDS
        """)]
    [InlineData("unsubscribe all", """
        config EDS=a1
        > EDS a
        < EDS a1
        > EDS
        config EDS=a2
        """)]
    [InlineData("nonexistent names are remembered", """
        config EDS=a1
        > EDS a z
        < EDS a1
        > EDS ack
        config EDS=a1,z1
        < EDS z1
        """)]
    [InlineData("only nonexistent names of a partial type: silence until one appears", """
        config RDS=r1
        > RDS z
        config RDS=r2,z1
        < RDS z1
        """)]
    [InlineData("nonexistent names of a whole set are answered with the empty list", """
        config LDS=l1
        > LDS z
        < LDS
        > LDS ack
        config LDS=l1,z1
        < LDS z1
        """)]
    [InlineData("no clusters at all is an answer too", """
        config LDS=l1
        > CDS
        < CDS
        """)]
    [InlineData("whole sets come whole, partial types with what changed", """
        config CDS=a1,b1 EDS=a1,b1 LDS=k1,l1 RDS=r1,s1
        > CDS
        < CDS a1 b1
        > CDS ack
        > EDS a b
        < EDS a1 b1
        > EDS ack
        > LDS
        < LDS k1 l1
        > LDS ack
        > RDS r s
        < RDS r1 s1
        > RDS ack
        config CDS=a1,b1 EDS=a1,b2 LDS=k1,l2 RDS=r1,s2
        < EDS b2
        > EDS ack
        < LDS k1 l2
        < RDS s2
        > LDS ack
        ? unsettled
        > RDS ack
        ? settled
        """)]
    [InlineData("removal from a partial type says nothing", """
        config EDS=a1,b1
        > EDS a b
        < EDS a1 b1
        > EDS ack
        config EDS=a1
        ? settled
        """)]
    [InlineData("removal from a whole set sends the rest", """
        config LDS=k1,l1
        > LDS
        < LDS k1 l1
        > LDS ack
        config LDS=k1
        < LDS k1
        > LDS ack
        config
        < LDS
        """)]
    public void Subscriptions(string rule, string script) => Play(rule, script);

    [Theory]
    [InlineData("one unanswered response per type; the newest configuration replaces what was not sent", """
        config EDS=a1
        > EDS a
        < EDS a1
        config EDS=a2
        config EDS=a3
        > EDS ack
        < EDS a3
        """)]
    [InlineData("back to what was sent: nothing to send", """
        config EDS=a1
        > EDS a
        < EDS a1
        config EDS=a2
        config EDS=a1
        > EDS ack
        ? settled
        """)]
    [InlineData("a refused version is not sent again", """
        config CDS=a1
        > CDS
        < CDS a1
        > CDS nack bad a
        config CDS=a1
        ? unsettled
        config CDS=a2
        < CDS a2
        > CDS ack
        ? settled
        """)]
    [InlineData("a refused partial response: with the next version its good resources go out, each alone", """
        config EDS=a1,b1,c1
        > EDS a b c
        < EDS a1 b1 c1
        > EDS ack
        config EDS=a2,b2,c1
        < EDS a2 b2
        > EDS nack b is bad
        config EDS=a2,b2,c2
        < EDS c2
        > EDS ack
        < EDS a2
        > EDS ack
        < EDS b2
        ? unsettled
        > EDS nack b is still bad
        config EDS=a2,b2,c3
        < EDS c3
        > EDS ack
        config EDS=a2,b3,c3
        < EDS b3
        > EDS ack
        ? settled
        """)]
    [InlineData("a refusal and other names in one request", """
        config EDS=a1,b1
        > EDS a
        < EDS a1
        > EDS nack no
        > EDS a b
        < EDS b1
        """)]
    public void Answers(string rule, string script) => Play(rule, script);

    [Theory]
    [InlineData("all four types of a change, in order, each after what it may name was answered", """
        config CDS=a1 EDS=a1 LDS=l1 RDS=r1
        > CDS
        < CDS a1
        > CDS ack
        > EDS a
        < EDS a1
        > EDS ack
        > LDS
        < LDS l1
        > LDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=a1,b1 EDS=a1,b1 LDS=l2 RDS=r2
        < CDS a1 b1
        > CDS ack
        > EDS a b
        < EDS b1
        > EDS ack
        < LDS l2
        < RDS r2
        > LDS ack
        > RDS ack
        ? settled
        """)]
    [InlineData("clusters leave last", """
        config CDS=a1 EDS=a1 LDS=l1 RDS=r1
        > CDS
        < CDS a1
        > CDS ack
        > EDS a
        < EDS a1
        > EDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=b1 EDS=b1 LDS=l1 RDS=r2
        < CDS a1 b1
        > CDS ack
        > EDS a b
        < EDS b1
        > EDS ack
        < RDS r2
        > RDS ack
        < CDS b1
        > CDS ack
        ? settled
        """)]
    [InlineData("only a removal: the route first, then the cluster", """
        config CDS=a1,b1 RDS=r1
        > CDS
        < CDS a1 b1
        > CDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=a1 RDS=r2
        < RDS r2
        > RDS ack
        < CDS a1
        """)]
    [InlineData("a refused route keeps the cluster it may still name", """
        config CDS=a1,b1 RDS=r1
        > CDS
        < CDS a1 b1
        > CDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=a1 RDS=r2
        < RDS r2
        > RDS nack no
        +5s
        config CDS=a1 RDS=r3
        < RDS r3
        > RDS ack
        < CDS a1
        """)]
    [InlineData("a changed cluster brings its endpoints again: the client warms it", """
        config CDS=a1,b1 EDS=a1,b1
        > CDS
        < CDS a1 b1
        > CDS ack
        > EDS a b
        < EDS a1 b1
        > EDS ack
        config CDS=a2,b1 EDS=a1,b1
        < CDS a2 b1
        < EDS a1
        """)]
    [InlineData("the first answers wait for nothing: a client may acknowledge all types at once", """
        config CDS=a1 EDS=a1 LDS=l1 RDS=r1
        > CDS
        < CDS a1
        > LDS
        < LDS l1
        > EDS a
        < EDS a1
        > RDS r
        < RDS r1
        """)]
    [InlineData("a gRPC client asks from listener to endpoint", """
        config CDS=a1 EDS=a1 LDS=web1 RDS=r1
        > LDS web
        < LDS web1
        > LDS ack
        > RDS r
        < RDS r1
        > RDS ack
        > CDS a
        < CDS a1
        > CDS ack
        > EDS a
        < EDS a1
        > EDS ack
        ? settled
        config CDS=a1 EDS=a2 LDS=web1 RDS=r1
        < EDS a2
        """)]
    [InlineData("a route waits a second for clusters nobody acknowledges, not longer", """
        config CDS=a1 RDS=r1
        > CDS
        < CDS a1
        > CDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=a1,b1 RDS=r2
        < CDS a1 b1
        +0.5s
        +0.5s
        < RDS r2
        """)]
    [InlineData("a route waits a second for endpoints nobody asks for, and only once", """
        config CDS=a1 EDS=a1 RDS=r1
        > CDS
        < CDS a1
        > CDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=a1 EDS=a1 RDS=r2
        +1s
        < RDS r2
        > RDS ack
        config CDS=a1 EDS=a1 RDS=r3
        < RDS r3
        """)]
    [InlineData("refused clusters do not hold routes back", """
        config CDS=a1 EDS=a1 RDS=r1
        > CDS
        < CDS a1
        > CDS ack
        > EDS a
        < EDS a1
        > EDS ack
        > RDS r
        < RDS r1
        > RDS ack
        config CDS=a1,b1 EDS=a1,b1 RDS=r2
        < CDS a1 b1
        > CDS nack b
        < RDS r2
        """)]
    public void Order(string rule, string script) => Play(rule, script);

    [Fact]
    public void A_refusal_is_kept_with_its_reason_and_time_until_the_next_acceptance()
    {
        var script = new StreamScript();
        script.Play("""
            config CDS=a1
            > CDS
            < CDS a1
            > CDS ack
            config CDS=a2
            < CDS a2
            +3s
            > CDS nack cluster a: no connect_timeout
            """);
        var clusters = Assert.Single(script.State.Subscriptions);
        Assert.Equal(clusters.Last!.Version, clusters.Nacked);
        Assert.NotEqual(clusters.Acked, clusters.Nacked);
        Assert.Equal("cluster a: no connect_timeout", clusters.Error);
        Assert.Equal(3, (clusters.NackedAt!.Value - clusters.Last.At).TotalSeconds);
        script.Play("""
            config CDS=a3
            < CDS a3
            > CDS ack
            """);
        Assert.Equal(("", "", null), (clusters.Nacked, clusters.Error, clusters.NackedAt));
    }

    [Fact]
    public void Types_that_are_not_served_are_taken_and_never_answered()
    {
        var state = new StreamState("s");
        state.Update(StreamScript.Config("CDS=a1"));
        var request = new DiscoveryRequest { TypeUrl = "type.googleapis.com/envoy.service.runtime.v3.Runtime" };
        Assert.Equal(RequestKind.UnknownType, state.Receive(request, DateTimeOffset.UnixEpoch));
        Assert.Null(state.Next(DateTimeOffset.UnixEpoch));
    }

    private static void Play(string rule, string script)
    {
        Assert.NotEmpty(rule);
        new StreamScript().Play(script);
    }
}
