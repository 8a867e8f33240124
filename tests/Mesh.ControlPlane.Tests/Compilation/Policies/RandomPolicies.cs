using System.Text;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>Policies and calls out of a small vocabulary, so that they meet often. One thread.</summary>
internal sealed class RandomPolicies(Random random)
{
    private static readonly string[] Ids =
    [
        "spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/cart", "spiffe://cluster.local/ns/bank/sa/web",
        "spiffe://cluster.local/ns/shopping/sa/web", "spiffe://other.example/ns/shop/sa/web",
    ];

    private static readonly string[] Principals =
        ["cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/bank/sa/web", "other.example/ns/shop/sa/web", "cluster.local/ns/shop/*", "*/sa/web", "*"];

    private static readonly string[] Namespaces = ["shop", "bank", "sh*", "*ing", "*op", "*"];
    private static readonly string[] Accounts = ["shop/web", "web", "bank/web", "cart"];
    private static readonly string[] Ips = ["10.0.0.1", "10.1.0.1", "::1"];
    private static readonly string[] Blocks = ["10.0.0.0/16", "10.0.0.1", "10.0.0.0/8", "::/0", "\"::1\"", "0.0.0.0/0"];
    private static readonly string[] Hosts = ["cart", "CART:8080", "a.cart.shop", "a.cart.shop:80", "cart.shop"];
    private static readonly string[] HostPatterns = ["cart", "Cart:8080", "*.shop", "ca*", "*", "cart.shop", "a.cart.shop"];
    private static readonly string[] Methods = ["GET", "POST", "PUT", "PATCH"];
    private static readonly string[] MethodPatterns = ["GET", "P*", "*T", "*"];
    private static readonly string[] Paths = ["/", "/a", "/a/b", "/a/b/c", "/b", "/a/", "/ab"];
    private static readonly string[] PathPatterns = ["/a", "/a*", "*/b", "*", "/{*}/b", "/a/{**}", "/{*}", "/", "/{*}/b/{**}"];
    private static readonly string[] HeaderPatterns = ["\"1\"", "\"1*\"", "\"*2\"", "\"*\""];

    public string Policies()
    {
        var text = new StringBuilder();
        var count = random.Next(1, 5);
        for (var i = 0; i < count; i++) text.Append(Policy(i)).Append("---\n");
        return text.ToString();
    }

    public Call Call()
    {
        var tcp = random.Next(4) == 0;
        return new Call(
            random.Next(5) == 0 ? null : Pick(Ids), Pick(Ips), Pick(Ips), random.Next(2) == 0 ? 8080 : 9090,
            Pick(Hosts), tcp ? "" : Pick(Methods), Pick(Paths), random.Next(3) switch { 0 => null, 1 => "1", _ => "12" });
    }

    private string Policy(int index)
    {
        var action = random.Next(5) switch { 0 or 1 => "DENY", 2 => "AUDIT", _ => "ALLOW" };
        var rules = Enumerable.Range(0, random.Next(0, 3)).Select(_ => Rule());
        var annotations = random.Next(8) == 0 ? ", annotations: {istio.io/dry-run: \"true\"}" : "";
        return $$"""
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: p{{index}}, namespace: {{(random.Next(3) == 0 ? "mesh-system" : "shop")}}{{annotations}}}
            spec: {action: {{action}}, rules: [{{string.Join(", ", rules)}}]}

            """;
    }

    private string Rule()
    {
        var parts = new List<string>();
        if (random.Next(2) == 0) parts.Add($"from: [{Several(() => $"{{source: {{{Source()}}}}}")}]");
        if (random.Next(2) == 0) parts.Add($"to: [{Several(() => $"{{operation: {{{Operation()}}}}}")}]");
        if (random.Next(3) == 0) parts.Add($"when: [{Several(Condition)}]");
        return $"{{{string.Join(", ", parts)}}}";
    }

    private string Source() => random.Next(3) == 0
        ? Fields(("serviceAccounts", Accounts), ("ipBlocks", Blocks))
        : Fields(("principals", Principals), ("namespaces", Namespaces), ("ipBlocks", Blocks));

    private string Operation() => Fields(("hosts", HostPatterns), ("ports", ["\"8080\"", "9090"]), ("methods", MethodPatterns), ("paths", PathPatterns));

    private string Condition()
    {
        var (key, values) = random.Next(7) switch
        {
            0 => ("source.ip", Blocks),
            1 => ("destination.ip", Blocks),
            2 => ("destination.port", ["8080", "\"9090\""]),
            3 => ("source.namespace", Namespaces),
            4 => ("source.principal", Principals),
            5 => ("source.serviceAccount", Accounts),
            _ => ("request.headers[x-a]", HeaderPatterns),
        };
        var kind = random.Next(3) == 0 ? "notValues" : "values";
        return $"{{key: \"{key}\", {kind}: [{Several(() => Quoted(Pick(values)))}]}}";
    }

    private string Fields(params (string Name, string[] Values)[] fields)
    {
        var chosen = fields.Where(_ => random.Next(2) == 0).ToArray();
        if (chosen.Length == 0) chosen = [Pick(fields)];
        return string.Join(", ", chosen.Select(field =>
            $"{(random.Next(3) == 0 ? "not" + char.ToUpperInvariant(field.Name[0]) + field.Name[1..] : field.Name)}: [{Several(() => Quoted(Pick(field.Values)))}]"));
    }

    private static string Quoted(string text) => text[0] == '"' || char.IsAsciiDigit(text[0]) ? text : $"\"{text}\"";

    private string Several(Func<string> one) => string.Join(", ", Enumerable.Range(0, random.Next(1, 3)).Select(_ => one()));

    private T Pick<T>(T[] from) => from[random.Next(from.Length)];
}
