namespace Mesh.Api.Rbac.Conditions;

/// <summary>The identity the caller proved; without a test: that it proved one.</summary>
internal sealed class PrincipalIs(StringTest? test) : Condition
{
    public StringTest? Test => test;

    public override Keys? Principals { get; } = test is null ? null : Keys.OfTest(test);

    public override Truth Holds(scoped in RbacRequest request)
    {
        if (request.Principal is null) return Truth.No;
        return test is null ? Truth.Yes : test.Test(request.Principal);
    }
}

/// <summary>An address in a range. An address that is not known may be in any.</summary>
internal sealed class AddressIn(IpRange range, bool source) : Condition
{
    public override Truth Holds(scoped in RbacRequest request)
    {
        var address = source ? request.Source : request.Destination;
        return address.Width == 0 ? Truth.Maybe : Truths.Of(range.Contains(address));
    }
}

/// <summary>The port the peer connected to, from the first to the one before <paramref name="end"/>.</summary>
internal sealed class PortIn(int first, int end) : Condition
{
    public override Truth Holds(scoped in RbacRequest request) => Truths.Of(request.DestinationPort >= first && request.DestinationPort < end);
}

/// <summary>Addresses that begin alike. A value.</summary>
internal readonly struct IpRange(IpValue first, int prefix)
{
    public bool Contains(IpValue address)
    {
        if (address.Width != first.Width) return false;
        var free = first.Width - prefix;
        return free >= 128 || (address.Bits ^ first.Bits) >> free == 0;
    }
}
