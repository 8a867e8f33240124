namespace Mesh.Api.Rbac.Conditions;

/// <summary>The path, in all its readings.</summary>
internal sealed class PathIs(StringTest test) : Condition
{
    public StringTest Test => test;

    public override Keys? Paths { get; } = Keys.OfTest(test);

    public override Truth Holds(scoped in RbacRequest request)
    {
        var readings = request.Path.Readings;
        if (readings == 0) return Truth.Maybe;
        var truth = test.Test(request.Path.Value);
        for (var i = 1; i < readings; i++) truth = truth.Across(test.Test(request.Path[i]));
        return truth;
    }
}

/// <summary>The method.</summary>
internal sealed class MethodIs(StringTest test) : Condition
{
    public StringTest Test => test;

    public override Truth Holds(scoped in RbacRequest request) => test.Test(request.Method);
}

/// <summary>The host with its port, if one was sent. Names of hosts have no case, and the dot behind an absolute name says nothing.</summary>
internal sealed class AuthorityIs(StringTest test) : Condition
{
    // Nobody knows who decodes a name with % in it: maybe it is that one.
    public override Truth Holds(scoped in RbacRequest request) => request.Host.Contains('%') ? Truth.Maybe : test.Test(request.Host);
}

/// <summary>
/// A header field. Several fields of one name are read each for itself and joined by commas, since servers do the one or the other. A field
/// that is not there matches no value, inverted or not, as in Envoy.
/// </summary>
internal sealed class HeaderIs(string name, StringTest? test, bool invert, bool missingIsEmpty) : Condition
{
    public override Truth Holds(scoped in RbacRequest request)
    {
        var several = false;
        var value = request.Fields?.Find(name, out several);
        if (test is null) return Truths.Of(value is not null != invert);
        if (value is null && !missingIsEmpty) return Truth.No;
        var truth = several ? AcrossAll(test, request.Fields!.All(name)) : test.Test(value);
        return invert ? truth.Not() : truth;
    }

    private static Truth AcrossAll(StringTest test, IReadOnlyList<string> values)
    {
        var truth = test.Test(string.Join(',', values));
        foreach (var value in values) truth = truth.Across(test.Test(value));
        return truth;
    }
}
