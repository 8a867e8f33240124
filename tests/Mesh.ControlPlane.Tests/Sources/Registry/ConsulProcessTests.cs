using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

public sealed class ConsulProcessTests
{
    [SkippableFact]
    public async Task A_started_consul_has_a_leader_and_ends_when_disposed()
    {
        Uri address;
        await using (var consul = await ConsulProcess.StartAsync())
        {
            address = consul.Address;
            using var client = consul.CreateClient();
            Assert.StartsWith("\"127.0.0.1:", await client.GetStringAsync("/v1/status/leader"));
            await consul.RestartAsync();
            Assert.StartsWith("\"127.0.0.1:", await client.GetStringAsync("/v1/status/leader"));
        }

        using var late = new HttpClient { BaseAddress = address };
        await Assert.ThrowsAsync<HttpRequestException>(() => late.GetStringAsync("/v1/status/leader"));
    }

    [SkippableFact]
    public async Task With_acl_on_the_token_opens_what_is_closed_without_it()
    {
        await using var consul = await ConsulProcess.StartWithAclAsync();
        using var anonymous = new HttpClient { BaseAddress = consul.Address };
        using var refused = await anonymous.PutAsync("/v1/kv/a", new StringContent("1"));
        Assert.Equal(System.Net.HttpStatusCode.Forbidden, refused.StatusCode);
        using var client = consul.CreateClient();
        using var put = await client.PutAsync("/v1/kv/a", new StringContent("1"));
        put.EnsureSuccessStatusCode();
    }
}
