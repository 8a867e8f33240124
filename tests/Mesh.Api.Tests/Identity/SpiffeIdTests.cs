using Mesh.Api.Identity;

namespace Mesh.Api.Tests.Identity;

/// <summary>The strict grammar of SPIFFE IDs: every bad one refused with its reason, and two spellings never equal.</summary>
public class SpiffeIdTests
{
    public static TheoryData<string, string> Bad => new()
    {
        { "", "is empty" },
        { "spiffe", "starts with 'spiffe://'" },
        { "spiffe:/cluster.local/ns/a/sa/b", "starts with 'spiffe://'" },
        { "spiffe:cluster.local", "starts with 'spiffe://'" },
        { "http://cluster.local/ns/a/sa/b", "starts with 'spiffe://'" },
        { "SPIFFE://cluster.local/ns/a/sa/b", "in lower case" },
        { "Spiffe://cluster.local/ns/a/sa/b", "in lower case" },
        { " spiffe://cluster.local/ns/a/sa/b", "starts with 'spiffe://'" },
        { "cluster.local/ns/a/sa/b", "starts with 'spiffe://'" },
        { "spiffe://", "trust domain is empty" },
        { "spiffe:///ns/a/sa/b", "trust domain is empty" },
        { "spiffe://?x", "no query" },
        { "spiffe://Cluster.local/ns/a/sa/b", "upper-case" },
        { "spiffe://CLUSTER.LOCAL/ns/a/sa/b", "upper-case" },
        { "spiffe://cluster.local:443/ns/a/sa/b", "port" },
        { "spiffe://cluster.local:/ns/a/sa/b", "port" },
        { "spiffe://user@cluster.local/ns/a/sa/b", "user information" },
        { "spiffe://@cluster.local/ns/a/sa/b", "user information" },
        { "spiffe://user:pw@cluster.local/ns/a/sa/b", "port" },
        { "spiffe://cluster%2elocal/ns/a/sa/b", "percent-encoded" },
        { "spiffe://[::1]/ns/a/sa/b", "'['" },
        { "spiffe://cluster local/ns/a/sa/b", "U+0020" },
        { "spiffe://clüster.local/ns/a/sa/b", "U+00FC" },
        { "spiffe://cluster.local\0.evil/ns/a/sa/b", "U+0000" },
        { "spiffe://cluster,local/ns/a/sa/b", "','" },
        { "spiffe://*.local/ns/a/sa/b", "'*'" },
        { "spiffe://cluster.local?x=y", "no query" },
        { "spiffe://cluster.local#x", "no fragment" },
        { "spiffe://cluster.local/", "empty segment" },
        { "spiffe://cluster.local//", "empty segment" },
        { "spiffe://cluster.local/ns/a/sa/b/", "empty segment" },
        { "spiffe://cluster.local//ns/a/sa/b", "empty segment" },
        { "spiffe://cluster.local/ns//a/sa/b", "empty segment" },
        { "spiffe://cluster.local/.", "dot segment" },
        { "spiffe://cluster.local/..", "dot segment" },
        { "spiffe://cluster.local/ns/a/../b/sa/c", "dot segment" },
        { "spiffe://cluster.local/./ns/a/sa/b", "dot segment" },
        { "spiffe://cluster.local/ns/a/sa/%62", "percent-encoding" },
        { "spiffe://cluster.local/ns/a/sa/b%2fc", "percent-encoding" },
        { "spiffe://cluster.local/ns/%2e%2e/sa/b", "percent-encoding" },
        { "spiffe://cluster.local/ns/a/sa/b%", "percent-encoding" },
        { "spiffe://cluster.local/ns/a/sa/b?x=y", "query" },
        { "spiffe://cluster.local/ns/a/sa/b?", "query" },
        { "spiffe://cluster.local/ns/a/sa/b#f", "fragment" },
        { "spiffe://cluster.local/ns/a/sa/b#", "fragment" },
        { "spiffe://cluster.local/ns/a/sa/b;v=1", "';'" },
        { "spiffe://cluster.local/ns/a/sa/b,c", "','" },
        { "spiffe://cluster.local/ns/a/sa/b\"", "'\"'" },
        { "spiffe://cluster.local/ns/a/sa/b=c", "'='" },
        { "spiffe://cluster.local/ns/a/sa/*", "'*'" },
        { "spiffe://cluster.local/ns/a/sa/b c", "U+0020" },
        { "spiffe://cluster.local/ns/a/sa/b ", "U+0020" },
        { "spiffe://cluster.local/ns/a/sa/b\n", "U+000A" },
        { "spiffe://cluster.local/ns/a/sa/b\r\nx: y", "U+000D" },
        { "spiffe://cluster.local/ns/a/sa/b\0", "U+0000" },
        { "spiffe://cluster.local/ns/a/sa/\u0431", "U+0431" },
        { "spiffe://cluster.local/ns/a/sa/b\\c", "'\\'" },
        { "spiffe://cluster.local/ns/a/sa/~b", "'~'" },
        { "spiffe://cluster.local/ns/a/sa/b:c", "':'" },
        { "spiffe://cluster.local/ns/a/sa/b@c", "'@'" },
        { "spiffe://cluster.local/ns/a/sa/b+c", "'+'" },
        { "spiffe://" + new string('a', 256) + "/ns/a/sa/b", "256 letters; 255 are allowed" },
        { "spiffe://cluster.local/" + new string('a', 2048), "2048 are allowed" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void A_bad_ID_is_refused_with_its_reason(string text, string reason)
    {
        Assert.False(SpiffeId.TryParse(text, out var id, out var problem));
        Assert.Null(id);
        Assert.Contains(reason, problem, StringComparison.Ordinal);
        Assert.Equal(problem, Assert.Throws<FormatException>(() => SpiffeId.Parse(text)).Message);
    }

    [Theory]
    [InlineData("spiffe://cluster.local/ns/shop/sa/cart", "cluster.local", "shop", "cart")]
    [InlineData("spiffe://a/b", "a", null, null)]
    [InlineData("spiffe://a_b-c.1/x/Y_Z-9.0", "a_b-c.1", null, null)]
    [InlineData("spiffe://td/ns/default/dc/dc1/svc/web", "td", null, null)]
    [InlineData("spiffe://td/ns/a/sa/b/c", "td", null, null)]
    [InlineData("spiffe://td/sa/a/ns/b", "td", null, null)]
    [InlineData("spiffe://td/ns/.../sa/..b", "td", "...", "..b")]
    [InlineData("spiffe://td", "td", null, null)]
    public void A_good_ID_is_taken_apart(string text, string trustDomain, string? ns, string? account)
    {
        Assert.True(SpiffeId.TryParse(text, out var id, out var problem), problem);
        Assert.Equal((text, trustDomain, ns, account), (id.ToString(), id.TrustDomain, id.Namespace, id.Account));
    }

    [Fact]
    public void The_longest_are_taken()
    {
        var trustDomain = new string('a', 255);
        Assert.Equal(trustDomain, SpiffeId.Parse("spiffe://" + trustDomain).TrustDomain);
        var longest = "spiffe://cluster.local/" + new string('a', 2048 - "spiffe://cluster.local/".Length);
        Assert.Equal(2048, SpiffeId.Parse(longest).ToString().Length);
    }

    [Fact]
    public void IDs_are_equal_letter_by_letter()
    {
        var id = SpiffeId.Parse("spiffe://td/ns/a/sa/web");
        Assert.Equal(SpiffeId.ForWorkload("td", "a", "web"), id);
        Assert.Equal(SpiffeId.ForWorkload("td", "a", "web").GetHashCode(), id.GetHashCode());
        foreach (var other in new[] { "spiffe://td/ns/a/sa/web2", "spiffe://td/ns/a/sa/we", "spiffe://td/ns/a/sa/Web", "spiffe://td2/ns/a/sa/web", "spiffe://td/ns/A/sa/web" })
            Assert.NotEqual(SpiffeId.Parse(other), id);
    }

    [Theory]
    [InlineData("a/b", "web")]
    [InlineData("", "web")]
    [InlineData("a", "")]
    [InlineData("a", "..")]
    [InlineData("a", "web/../admin")]
    [InlineData("a", "we%62")]
    public void A_part_that_would_make_another_ID_is_refused(string ns, string account) =>
        Assert.Throws<FormatException>(() => SpiffeId.ForWorkload("td", ns, account));
}
