using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Programs that know nothing of a mesh call each other through capture and mutual TLS: by service, by instance, and the world outside.</summary>
[Collection(CapturedShop.Group)]
public sealed class CallingTests(CapturedShop shop)
{
    [SkippableTheory]
    [InlineData("customer", "cart")]
    [InlineData("customer", "stock")]
    [InlineData("buyer", "cart")]
    [InlineData("buyer", "stock")]
    public Task A_service_is_called_by_its_address_under_mutual_tls(string client, string service) => shop.RunAsync(async machines =>
    {
        var caller = client == "customer" ? machines.Customer : machines.Buyer;
        var (v4, v6) = await CapturedMesh.AddressesAsync(caller, service);
        foreach (var host in (string[])[v4, $"[{v6}]", service, $"{service}.default.svc.cluster.local"])
        {
            var answers = new HashSet<string>(StringComparer.Ordinal);
            // Which instance is a matter of chance.
            for (var i = 0; i < 50 && answers.Count < 2; i++)
            {
                var answer = await caller.Host.CurlAsync($"http://{host}:8080/a?b=c");
                Assert.True(answer.Status == "200", $"{host}: {answer.All}");
                answers.Add(answer.Body.Split(' ')[0]);
            }

            Assert.Equal([$"{service}-1", $"{service}-2"], answers.Order());
            Assert.Contains($"URI=spiffe://cluster.local/ns/default/sa/{client}", (await caller.Host.CurlAsync($"http://{host}:8080/?headers")).Body, StringComparison.Ordinal);
        }
    });

    [SkippableTheory]
    [InlineData(0, false, false)]
    [InlineData(1, true, false)]
    [InlineData(2, false, true)]
    [InlineData(3, true, true)]
    public Task An_instance_is_called_by_its_own_address_under_mutual_tls(int number, bool clientIsSeen, bool isV6) => shop.RunAsync(async machines =>
    {
        var (instance, customer) = (machines.Instances[number].Host, machines.Customer.Host);
        var (to, from, url) = isV6 ? (instance.Address6, customer.Address6, $"[{instance.Address6}]") : (instance.Address, customer.Address, instance.Address);
        for (var i = 0; i < 3; i++)
        {
            var answer = await customer.CurlAsync($"http://{url}:8080/");
            Assert.Equal($"{instance.Name} GET / from {(clientIsSeen ? from : to)} at {to} HTTP/1.1", answer.Body);
        }

        Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/customer", (await customer.CurlAsync($"http://{url}:8080/?headers")).Body, StringComparison.Ordinal);
    });

    [SkippableTheory]
    [InlineData(0, false, true)]
    [InlineData(1, true, true)]
    [InlineData(2, false, false)]
    [InlineData(3, true, false)]
    public Task An_instance_is_called_by_its_address_of_the_other_family_under_mutual_tls_too(int number, bool clientIsSeen, bool isV6) => shop.RunAsync(async machines =>
    {
        var (instance, customer) = (machines.Instances[number].Host, machines.Customer.Host);
        var (to, from, url) = isV6 ? (instance.Address6, customer.Address6, $"[{instance.Address6}]") : (instance.Address, customer.Address, instance.Address);
        await Mesh.Tests.Eventually.PassesAsync(async () =>
            Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/customer", (await customer.CurlAsync($"http://{url}:8080/?headers")).Body, StringComparison.Ordinal));
        var answer = await customer.CurlAsync($"http://{url}:8080/");
        Assert.Equal($"{instance.Name} GET / from {(clientIsSeen ? from : to)} at {to} HTTP/1.1", answer.Body);
        // A port that it did not register, too: whoever takes all traffic of an address is asked for a proof there.
        Assert.NotEqual("200", (await customer.CurlAsync($"http://{url}:8099/")).Status);
    });

    [SkippableTheory]
    [InlineData("customer")]
    [InlineData("buyer")]
    public Task Who_is_in_no_mesh_is_called_untouched(string client) => shop.RunAsync(async machines =>
    {
        var caller = (client == "customer" ? machines.Customer : machines.Buyer).Host;
        foreach (var (address, from, url) in ((string, string, string)[])[(machines.Outside.Address, caller.Address, machines.Outside.Address), (machines.Outside.Address6, caller.Address6, $"[{machines.Outside.Address6}]")])
        {
            Assert.Equal($"outside GET /x from {from} at {address} HTTP/1.1", (await caller.CurlAsync($"http://{url}:8080/x")).Body);
            Assert.Equal($"host: {url}:8080\nuser-agent: me\naccept: */*\n", (await caller.CurlAsync("-A", "me", $"http://{url}:8080/?headers")).Body);
        }
    });

    [SkippableFact]
    public Task Who_is_in_no_mesh_calls_in_plaintext_where_that_is_permitted() => shop.RunAsync(async machines =>
    {
        foreach (var instance in machines.Instances.Select(i => i.Host))
        {
            Assert.StartsWith($"{instance.Name} GET / ", (await machines.Outside.CurlAsync($"http://{instance.Address}:8080/")).Body, StringComparison.Ordinal);
            Assert.DoesNotContain("client-cert", (await machines.Outside.CurlAsync("-H", "X-Forwarded-Client-Cert: By=me", $"http://[{instance.Address6}]:8080/?headers")).Body, StringComparison.OrdinalIgnoreCase);
        }
    });
}
